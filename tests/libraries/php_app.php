<?php
// PHP's own session handler of phpredis, and Symfony's RedisSessionHandler. See README.md.

error_reporting(E_ALL);
set_error_handler(function (int $level, string $message, string $file, int $line): bool {
    throw new ErrorException($message, 0, $level, $file, $line);
});

[, $library, $port, $database, $action, $stateFile] = $argv;

ini_set('session.use_cookies', '0');
ini_set('session.cache_limiter', '');
ini_set('session.gc_maxlifetime', '3600');

if ($library === 'phpredis') {
    ini_set('session.save_handler', 'redis');
    ini_set('session.save_path', "tcp://127.0.0.1:$port?database=$database");
    ini_set('redis.session.locking_enabled', '1');
} else {
    require '/usr/share/php/Symfony/Component/HttpFoundation/autoload.php';
    $redis = new Redis();
    $redis->connect('127.0.0.1', (int) $port);
    $redis->select((int) $database);
    $handler = new Symfony\Component\HttpFoundation\Session\Storage\Handler\RedisSessionHandler($redis);
    session_set_save_handler($handler, false);
}

function request(string $id, callable $what): void
{
    session_id($id);
    session_start();
    $what();
    if (session_status() === PHP_SESSION_ACTIVE) {
        session_write_close();
    }
}

if ($action === 'create') {
    $ids = [];
    for ($user = 0; $user < 40; $user++) {
        $ids[] = $id = session_create_id();
        request($id, function () use ($user) { $_SESSION['user'] = "user$user"; });
    }
    foreach (array_slice($ids, 0, 10) as $id) {
        request($id, function () { $_SESSION['seen'] = ($_SESSION['seen'] ?? 0) + 1; });
    }
    $ended = array_splice($ids, -8);
    foreach ($ended as $id) {
        request($id, function () { session_destroy(); });
    }
    $named = fn (array $ids) => array_map(fn ($id) => ['id' => $id], $ids);
    file_put_contents($stateFile, json_encode(['living' => $named($ids), 'ended' => $named($ended)]));
    if ($library === 'phpredis') {
        // A request that dies leaves its lock behind.
        exec(escapeshellarg(PHP_BINARY) . ' ' . implode(' ', array_map('escapeshellarg', [__FILE__, $library, $port, $database, 'die', $stateFile])));
    }
} elseif ($action === 'die') {
    session_id(json_decode(file_get_contents($stateFile), true)['ended'][0]['id']);
    session_start();
    posix_kill(posix_getpid(), 9);
} else {
    foreach (json_decode(file_get_contents($stateFile), true)['living'] as $session) {
        request($session['id'], function () {
            if (!isset($_SESSION['user'])) {
                throw new Exception('a session was not found again');
            }
        });
    }
}
