# The sample application of `make run`: prints Redis commands for ever, half a second of traffic at a time, as an application with
# logins would send them. Its output goes to redis-cli. Sessions are created from several sources, read, renewed, given a new id,
# logged out, left to expire, and now and then evicted; the application keeps a few counters of its own.

# A random word of hexadecimal digits.
function word(length_wanted,    text) {
    text = ""
    while (length(text) < length_wanted) text = text sprintf("%08x", int(rand() * 4294967295))
    return substr(text, 1, length_wanted)
}

function chance(share) { return rand() < share }

# A session key: a third comes by OAuth, a fifth are guests, the rest are ordinary logins.
function key_of_login(    dice) {
    dice = rand()
    if (dice < 0.33) return "sess:oauth:" word(32)
    if (dice < 0.53) return "sess:guest:" word(32)
    return "sess:" word(32)
}

# One value in twenty is not encrypted, which the exporter is to notice.
function value_of_session() {
    return chance(0.05) ? "\047{\"user\":\"" word(8) "\"}\047" : "enc:v1:" word(40 + int(rand() * 400))
}

function login(    key, seconds) {
    key = key_of_login()
    # Guests are short-lived, so that expiries are soon to be seen; one login in a hundred forgets its TTL.
    seconds = key ~ /guest/ ? 15 + int(rand() * 45) : 600 + int(rand() * 3000)
    if (chance(0.01)) print "SET", key, value_of_session()
    else if (chance(0.02)) print "SET", key, value_of_session(), "EX", 172800
    else print "SET", key, value_of_session(), "EX", seconds
    living[++newest] = key
}

# Somebody who logged in a while ago; gone ones are fine, an application asks for those too.
function somebody() { return living[oldest + 1 + int(rand() * (newest - oldest))] }

function one_tick(    n, key, renewed) {
    for (n = 2 + int(rand() * 5); n > 0; n--) login()
    for (n = 20 + int(rand() * 20); n > 0; n--) print "GET", somebody()
    for (n = 5 + int(rand() * 5); n > 0; n--) print "EXPIRE", somebody(), 600 + int(rand() * 3000)
    for (n = int(rand() * 4); n > 0; n--) print "DEL", somebody()
    # A new id after a login is no new login.
    if (chance(0.2)) {
        key = "sess:" word(32)
        print "SET", key, value_of_session(), "EX", 1800
        renewed = "sess:" word(32)
        print "RENAME", key, renewed
        living[++newest] = renewed
    }
    print "INCRBY", "metrics:session_cache_hits", 20 + int(rand() * 20)
    print "INCRBY", "metrics:session_cache_misses", int(rand() * 3)
    if (chance(0.1)) print "HINCRBY", "metrics:session_encryption_errors", (chance(0.5) ? "decrypt_failed" : "key_missing"), 1
    print "HSET", "metrics:redis_pool", "idle", 5 + int(rand() * 4), "used", 1 + int(rand() * 4)
    for (n = int(rand() * 4); n > 0; n--) print "LPUSH", "jobs", word(8)
    for (n = int(rand() * 4); n > 0; n--) print "RPOP", "jobs"
    # Once a minute a burst of other data does not fit into the memory limit: volatile-ttl evicts what would expire next.
    if (++ticks % 120 == 60) for (n = 0; n < 240; n++) {
        print "SETRANGE", "cache:blob:" n, 65535, "x"
        print "EXPIRE", "cache:blob:" n, 45
    }
    # What is older than ten thousand logins is forgotten here; Redis ends it by its TTL.
    while (newest - oldest > 10000) delete living[++oldest]
}

BEGIN {
    srand()
    for (n = 0; n < 500; n++) login()
    for (n = 0; n < 25; n++) print "SET", "cache:page:" n, "rendered"
    while (1) {
        one_tick()
        # system() hands over what was printed before it waits; it fails when somebody presses Ctrl-C.
        if (system("sleep 0.5") != 0) exit
    }
}
