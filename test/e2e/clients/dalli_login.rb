# dalli, in binary, before and after memcached has been started again.
# dalli_login.rb PORT [USER PASSWORD]: prints "served", waits for a line, and prints "served again" when it is.
require "dalli"

Dalli.logger.level = Logger::FATAL
port, user, password = ARGV
options = { protocol: :binary, socket_failure_delay: 0.05, down_retry_delay: 0.05 }
options.merge!(username: user, password: password) if user
client = Dalli::Client.new("127.0.0.1:#{port}", options)

served = ->(value) { client.set("from-dalli", value) && client.get("from-dalli") == value }

begin
  puts served.("one") ? "served" : "not served"
rescue Dalli::DalliError => error
  puts error.message =~ /authenticat/i ? "refused" : error.message
  exit
end
$stdout.flush
$stdin.gets
begin
  sleep 0.05 until served.("two")
rescue Dalli::DalliError
  sleep 0.05
  retry
end
puts "served again"
