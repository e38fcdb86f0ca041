//! Types that configuration values become: addresses, secrets, password sources.

use std::path::PathBuf;

/// Text that must never be shown. `Debug` and `Display` print `<secret>`. Its memory is overwritten when it is dropped; that of the text
/// which it was taken from, and of the packet that carries it to the server, is not.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Drop for Secret {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

/// What is shown in place of every secret.
pub const SECRET_PLACEHOLDER: &str = "<secret>";

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for nothing but sending it to the server that it belongs to.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(SECRET_PLACEHOLDER)
    }
}

impl std::fmt::Display for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(SECRET_PLACEHOLDER)
    }
}

/// Where a password comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordSource {
    /// No AUTH is sent.
    None,
    /// Written in the configuration, an address or an environment variable.
    Inline(Secret),
    /// Read from this file at every connect; one trailing line break is dropped.
    File(PathBuf),
    /// Read at every connect from a JSON object of passwords (`config::password_map`).
    MapFile {
        /// The file.
        path: PathBuf,
        /// The key whose value is the password. It is an address, which may hold a password of its own.
        key: Secret,
    },
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// TCP or unix socket.
    pub endpoint: Endpoint,
    /// Database that the address names (`/0`); 0 when it names none.
    pub database: u32,
    /// Whether the server is spoken to over TLS (`rediss://`, `valkeys://`). Unix sockets never are.
    pub tls: bool,
}

/// The two kinds of sockets that Redis listens on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// Host name or IP address (IPv6 without brackets) and port.
    Tcp {
        /// Host.
        host: String,
        /// Port.
        port: u16,
    },
    /// Path of a unix socket.
    Unix {
        /// Path.
        path: PathBuf,
    },
}

/// What cannot stand for itself in the path of `unix://`: `?` begins the database, `%` an escape, and a space ends an address
/// in many other programs.
const PATH_ENCODED: percent_encoding::AsciiSet = percent_encoding::CONTROLS.add(b'?').add(b'%').add(b' ');

impl Address {
    /// The name of an instance that was given none: `host:port`, `[::1]:6379`, or the path of a socket.
    pub fn default_name(&self) -> String {
        match &self.endpoint {
            Endpoint::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Endpoint::Tcp { host, port } => format!("{host}:{port}"),
            Endpoint::Unix { path } => path.display().to_string(),
        }
    }
}

impl std::fmt::Display for Address {
    /// The normalised form without user information: `redis://host:6379/0`, `rediss://host:6380/0`, `unix:///run/redis.sock`. It
    /// reads back as the same address.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        match &self.endpoint {
            Endpoint::Tcp { host, port } if host.contains(':') => {
                write!(formatter, "{scheme}://[{host}]:{port}/{}", self.database)
            }
            Endpoint::Tcp { host, port } => write!(formatter, "{scheme}://{host}:{port}/{}", self.database),
            Endpoint::Unix { path } => {
                let path = path.display().to_string();
                let path = percent_encoding::utf8_percent_encode(&path, &PATH_ENCODED);
                match self.database {
                    0 => write!(formatter, "unix://{path}"),
                    database => write!(formatter, "unix://{path}?db={database}"),
                }
            }
        }
    }
}

/// The one user of HTTP basic authentication (RFC 7617).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasicAuth {
    /// The user's name.
    pub username: String,
    /// How the password is known.
    pub password: BasicPassword,
}

/// How the password of a [`BasicAuth`] is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BasicPassword {
    /// The password itself.
    Plain(Secret),
    /// Its bcrypt hash (`$2a$`, `$2b$`, `$2y$`).
    Bcrypt(Secret),
}
