//! Servers and instances without a fault, full of secrets: in the configuration, in files, in variables, on the servers.

use super::matcher::{percent_encoded, plain, secret};
use crate::support::redis_server::RedisServer;
use crate::support::resp::Client;
use std::path::PathBuf;

/// Sessions on the server, each with a secret for its name and one for its body.
const SESSIONS: usize = 25;

/// An instance: its name, its address, further lines.
pub type Instance = (String, String, String);

/// The servers and files, for as long as they are needed.
pub struct Plants {
    server: RedisServer,
    renamed: RedisServer,
    files: tempfile::TempDir,
    /// Other clients, with names.
    _clients: Vec<Client>,
}

impl Plants {
    /// Starts and fills everything.
    pub fn new() -> Self {
        let server = RedisServer::start_with(&[
            "--requirepass",
            &secret("requirepass"),
            "--masterauth",
            &secret("masterauth"),
            "--masteruser",
            &plain("masteruser"),
            "--notify-keyspace-events",
            "KEA",
            "--slowlog-log-slower-than",
            "0",
            "--latency-monitor-threshold",
            "1",
        ]);
        let mut client = server.client();
        // Only servers that were built with TLS have it.
        client.try_command(&["CONFIG", "SET", "tls-key-file-pass", &secret("tlskeyfilepass")]);
        for (user, tag) in [
            ("by-url", "url"),
            ("by-key", "inline"),
            ("by-file", "file"),
            ("by-map", "map"),
            ("by-variable", "variable"),
        ] {
            client.command(&[
                "ACL",
                "SETUSER",
                user,
                "on",
                &format!(">{}", secret(tag)),
                "~*",
                "&*",
                "+@all",
            ]);
        }
        // A user of nobody here.
        client.command(&[
            "ACL",
            "SETUSER",
            "other",
            "on",
            &format!(">{}", secret("otheruser")),
            "+@all",
        ]);
        for number in 0..SESSIONS {
            let key = format!("sess:{}{number}", plain("sessionkey"));
            client.command(&["SET", &key, &secret("sessionvalue"), "EX", "3600"]);
        }
        client.command(&[
            "HSET",
            "metrics:odd",
            &plain("field"),
            &secret("notanumber"),
            "fine",
            "1",
        ]);
        client.command(&["SET", "metrics:text", &secret("textvalue")]);
        client.command(&["RPUSH", "queue", &secret("element")]);
        // A command and a script that fail, for the statistics of both.
        client.try_command(&["LPUSH", "metrics:text", &secret("wrongtype")]);
        client.try_command(&["EVAL", &format!("error('{}')", plain("evalerror")), "0"]);
        client.try_command(&["AUTH", "nobody", &secret("strangerspassword")]);
        client.command(&["DEBUG", "SLEEP", "0.01"]);
        let mut named = server.client();
        named.command(&["CLIENT", "SETNAME", &plain("clientname")]);
        let mut listener = server.client();
        listener.command(&["SUBSCRIBE", &secret("channel")]);

        let renamed = RedisServer::start_with(&["--rename-command", "CONFIG", &plain("configcommand")]);
        let files = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(files.path().join(name), text).unwrap();
        write("password", &format!("{}\n", secret("file")));
        let address = format!("redis://by-map@127.0.0.1:{}", server.port);
        write(
            "passwords.json",
            &serde_json::json!({ address: secret("map") }).to_string(),
        );
        let comment = format!("-- {}\n", secret("scripttext"));
        write("fine.lua", &format!("{comment}return {{'a', '1'}}"));
        write("fails.lua", &format!("{comment}error('{}')", plain("scripterror")));
        write(
            "replies.lua",
            &format!("{comment}return redis.error_reply('{} it is')", plain("scriptreply")),
        );
        write("broken.lua", &format!("return {}(", plain("scriptsyntax")));
        write(
            "list.lua",
            &format!("return {{'{}'}}", secret("scriptvalue").replace(['\\', '\''], "")),
        );
        Self {
            server,
            renamed,
            files,
            _clients: vec![named, listener],
        }
    }

    /// Variables that the configuration takes secrets from.
    pub fn variables(&self) -> Vec<(String, String)> {
        vec![("PLANTED_PASSWORD".to_owned(), secret("variable"))]
    }

    /// A file of these.
    pub fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Everything that can be switched on and shows no names by design, on each way of giving a password.
    pub fn instances(&self) -> Vec<Instance> {
        let quoted = |text: String| format!("'{}'", text.replace('\'', "''"));
        let file = |name: &str| self.path(name).display().to_string();
        let address = self.server.address();
        let everything = format!(
            "collectors: {{ config_all: on, system: on, modules: on, search: on }}\n\
             sessions:\n  - {{ store: web, match: [\"sess:*\"], events: on, encryption: {{ expect_prefix: \"enc:v1:\" }} }}\n\
             application_metrics:\n\
             \x20 - {{ name: odd_total, type: counter, key: \"metrics:odd\", label: kind, label_values: [fine], max_label_values: 1, help: h }}\n\
             \x20 - {{ name: text_value, type: gauge, key: \"metrics:text\", help: h }}\n\
             \x20 - {{ name: queue_length, type: gauge, key: queue, read: length, help: h }}\n\
             lua:\n  - {}\n  - {}\n  - {}\n  - {}\n  - {}\n",
            file("fine.lua"),
            file("fails.lua"),
            file("replies.lua"),
            file("broken.lua"),
            file("list.lua"),
        );
        let instance = |name: &str, address: &str, lines: String| (name.to_owned(), address.to_owned(), lines);
        let url = format!(
            "redis://by-url:{}@127.0.0.1:{}",
            percent_encoded(&secret("url")),
            self.server.port
        );
        vec![
            instance(
                "requirepass",
                &address,
                format!("password: {}\n{everything}", quoted(secret("requirepass"))),
            ),
            instance("by-url", &url, everything.clone()),
            instance(
                "by-key",
                &address,
                format!("username: by-key\npassword: {}", quoted(secret("inline"))),
            ),
            instance(
                "by-file",
                &address,
                format!("username: by-file\npassword_file: {}", file("password")),
            ),
            instance(
                "by-map",
                &address,
                format!("username: by-map\npassword_file: {}", file("passwords.json")),
            ),
            instance(
                "by-variable",
                &address,
                "username: by-variable\npassword: ${PLANTED_PASSWORD}".to_owned(),
            ),
            instance(
                "renamed",
                &self.renamed.address(),
                format!(
                    "collectors: {{ config_all: on }}\ncompatibility: {{ config_command: {} }}",
                    plain("configcommand")
                ),
            ),
        ]
    }
}
