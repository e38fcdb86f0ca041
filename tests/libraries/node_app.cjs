// connect-redis under express-session, and koa-redis under koa-generic-session. See README.md.
"use strict";

const fs = require("node:fs");
const http = require("node:http");

const [library, port, database, action, stateFile] = process.argv.slice(2);
const LIFETIME_MS = 3600 * 1000;

async function connectRedis() {
  const session = require("express-session");
  const { RedisStore } = require("connect-redis");
  const client = require("redis").createClient({ socket: { host: "127.0.0.1", port: Number(port) }, database: Number(database) });
  await client.connect();
  const middleware = session({
    store: new RedisStore({ client }),
    secret: "only for tests",
    resave: false,
    saveUninitialized: false,
    cookie: { maxAge: LIFETIME_MS },
  });
  const server = http.createServer((request, response) => {
    request.originalUrl = request.url;
    middleware(request, response, () => {
      const [, what, user] = request.url.split("/");
      const finish = () => response.end(JSON.stringify({ id: request.sessionID, user: request.session?.user ?? null }));
      if (what === "login") request.session.user = user;
      if (what === "change") request.session.seen = (request.session.seen ?? 0) + 1;
      if (what === "logout") request.session.destroy(finish);
      else finish();
    });
  });
  return server;
}

async function koaRedis() {
  const Koa = require("koa");
  const session = require("koa-generic-session");
  const store = require("koa-redis")({ host: "127.0.0.1", port: Number(port), db: Number(database) });
  const app = new Koa();
  app.keys = ["only for tests"];
  // Koa 2 takes the generators of this library with a word of regret.
  process.noDeprecation = true;
  app.use(session({ store, cookie: { maxAge: LIFETIME_MS } }));
  app.use(async (context) => {
    const [, what, user] = context.path.split("/");
    if (what === "login") context.session.user = user;
    if (what === "change") context.session.seen = (context.session.seen ?? 0) + 1;
    const seen = context.session.user ?? null;
    if (what === "logout") context.session = null;
    context.body = JSON.stringify({ id: context.sessionId, user: seen });
  });
  return http.createServer(app.callback());
}

async function main() {
  const server = await (library === "connect-redis" ? connectRedis() : koaRedis());
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const base = `http://127.0.0.1:${server.address().port}`;
  const ask = async (path, cookie) => {
    const response = await fetch(base + path, { headers: cookie ? { cookie } : {} });
    const cookies = response.headers.getSetCookie().map((line) => line.split(";")[0]);
    return { ...JSON.parse(await response.text()), cookie: cookies.length > 0 ? cookies.join("; ") : cookie };
  };
  if (action === "create") {
    const sessions = [];
    for (let user = 0; user < 40; user += 1) {
      const { id, cookie } = await ask(`/login/user${user}`);
      sessions.push({ id, cookie });
    }
    for (const { cookie } of sessions.slice(0, 10)) await ask("/change", cookie);
    const ended = sessions.splice(-8);
    for (const { cookie } of ended) await ask("/logout", cookie);
    fs.writeFileSync(stateFile, JSON.stringify({ living: sessions, ended }));
  } else {
    for (const { cookie } of JSON.parse(fs.readFileSync(stateFile, "utf8")).living) {
      const { user } = await ask("/read", cookie);
      if (!user) throw new Error("a session was not found again");
    }
  }
}

// Everything has been answered; koa-generic-session would take the end of its connection for a fault.
main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
