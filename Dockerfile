# memseal as a container: docker build -t memseal .
# Configured by a file at /etc/memseal/memseal.yaml (with admin: { listen: "unix:/run/memseal/admin.sock" }), or by
# variables (MEMSEAL_LISTEN, MEMSEAL_CERT, …: see README). Certificates and keys are files that the user 65532 may read. It runs
# as any other user too, best with group 0, as OpenShift does: --user 1000650000:0.

# Another patch release, a mirror, or a digest (node:26.10.0-slim@sha256:…): --build-arg NODE_IMAGE=…
ARG NODE_IMAGE=docker.io/library/node:26.10.0-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc tsconfig.json ./
# No install scripts: the one that there is fetches a Node for checkouts, and this image is one.
RUN ["npm", "ci", "--ignore-scripts"]
COPY src src
RUN ["npm", "run", "build"]
RUN ["npm", "prune", "--omit=dev", "--ignore-scripts"]
# `memseal` as a command for `docker exec`.
RUN ["mkdir", "-p", "/build/bin"]
RUN ["ln", "-s", "/opt/memseal/dist/main.js", "/build/bin/memseal"]

FROM ${NODE_IMAGE}
ENV NODE_ENV=production
# Where `memseal status` asks, and where memseal answers when it is configured by variables; a file has to say the same.
ENV MEMSEAL_ADMIN=unix:/run/memseal/admin.sock
COPY --from=build /build/node_modules /opt/memseal/node_modules
COPY --from=build /build/dist /opt/memseal/dist
COPY --from=build /build/bin /usr/local/bin
COPY package.json LICENSE /opt/memseal/
# The one place that memseal writes to. As a volume it is writable on a read-only root too. It belongs to 65532, and to group 0
# for those whose user is another. Not by COPY: builders differ in whether --chmod is for the folder itself.
RUN ["node", "-e", "const at = '/run/memseal'; fs.mkdirSync(at, { recursive: true }); fs.chownSync(at, 65532, 0); fs.chmodSync(at, 0o770)"]
VOLUME ["/run/memseal"]
USER 65532:65532
EXPOSE 11212
STOPSIGNAL SIGTERM
# Healthy as long as it answers. That memcached is away is not mended by a restart, which is what Swarm and others do to what is
# unhealthy, and its clients of other backends would be cut by it. To have that too: --health-cmd 'memseal status'.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=2 CMD ["node", "/opt/memseal/dist/main.js", "status", "--alive"]
# SIGUSR1 would open Node's debugger to everybody in the container's network; with this flag it does nothing (SIGHUP reopens a log).
# Exec form: no shell, so memseal is process 1 and gets SIGTERM (drain) and SIGHUP (reload) itself.
ENTRYPOINT ["node", "--disable-sigusr1", "/opt/memseal/dist/main.js"]
CMD ["run"]
