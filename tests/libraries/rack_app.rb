# redis-rack under its default namespace, and under one of the application as Rails applications have it. See README.md.

require 'json'
require 'rack'
require 'rack/mock'
require 'redis-rack'

library, port, database, action, state_file = ARGV
namespace = library == 'rack' ? 'rack:session' : 'shop:session'

application = lambda do |env|
  session = env['rack.session']
  case env['PATH_INFO']
  when %r{\A/login/(.+)\z} then session['user'] = Regexp.last_match(1)
  when '/change' then session['seen'] = session['seen'].to_i + 1
  when '/logout' then session.options[:drop] = true
  end
  [200, {}, [{ id: session.id&.private_id, user: session['user'] }.to_json]]
end

STACK = Rack::Session::Redis.new(
  application,
  redis_server: "redis://127.0.0.1:#{port}/#{database}/#{namespace}",
  expire_after: 3600
)

def ask(path, cookie = nil)
  headers = cookie ? { 'HTTP_COOKIE' => cookie } : {}
  answer = Rack::MockRequest.new(STACK).get(path, headers)
  raise "#{path}: #{answer.status} #{answer.errors}" unless answer.ok?

  [JSON.parse(answer.body), answer.headers['Set-Cookie']&.split(';')&.first]
end

if action == 'create'
  sessions = Array.new(40) do |user|
    _, cookie = ask("/login/user#{user}")
    answer, = ask('/read', cookie)
    { id: answer['id'], cookie: cookie }
  end
  sessions.first(10).each { |session| ask('/change', session[:cookie]) }
  ended = sessions.pop(8)
  ended.each { |session| ask('/logout', session[:cookie]) }
  File.write(state_file, { living: sessions, ended: ended }.to_json)
else
  JSON.parse(File.read(state_file))['living'].each do |session|
    answer, = ask('/read', session['cookie'])
    raise 'a session was not found again' unless answer['user']
  end
end
