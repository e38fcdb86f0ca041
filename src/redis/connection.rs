//! A live connection: exchanges of batches within a deadline.

pub use super::connector::{Connector, Handshake, Phase};
pub use super::error::RedisError;
use super::error::{Place, advice};
use super::ledger::{Ledger, OwnCalls};
use super::own_sockets::{OwnSocket, OwnSockets};
use super::reason::{Reason, classify_error_reply, classify_farewell};
use super::refusal::{Unavailable, sanitised_code, unavailability};
use super::reply::{Command, Reply};
use super::resp::{Limits, Parser, encode};
use super::tls::TlsReason;
use super::tls::client::Afterwards;
use super::tls::failure::{TlsFailure, tls_error};
use super::transport::{Pending, Transport};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

/// A live connection. Dropping it closes the socket; it owns no task, and while it is idle no buffer.
#[derive(Debug)]
pub struct Connection {
    transport: Transport,
    parser: Parser,
    /// The address as it may be shown.
    endpoint: Arc<str>,
    /// False while an exchange runs, so that one that is dropped half-way leaves no connection whose replies are out of step.
    usable: bool,
    /// The database that SELECT has yet to reach, since the server was loading, cut off or busy at the connect.
    owed_database: Option<u32>,
    ledger: BTreeMap<String, u64>,
    /// The account of the server, shared with the other connections to it.
    shared_ledger: Arc<Ledger>,
    /// Whether the server has answered anything yet.
    has_answered: bool,
    /// What of the TLS handshake may show only in the first answer.
    tls: Option<Afterwards>,
    /// Why the server broke off TLS in place of its first answer.
    tls_refusal: Option<TlsReason>,
    /// So that it is not taken for somebody else's in CLIENT LIST; `None` for a unix socket.
    own_socket: Option<OwnSocket>,
}

/// What of a login is judged differently.
enum Step {
    Auth,
    SetName,
    Select(u32),
}

impl Connection {
    /// A connection over a socket on which nothing was sent yet.
    pub(super) fn new(
        transport: Transport,
        own_socket: Option<OwnSocket>,
        endpoint: Arc<str>,
        shared_ledger: Arc<Ledger>,
    ) -> Self {
        Self {
            own_socket,
            transport,
            parser: Parser::new(Limits::default()),
            endpoint,
            usable: true,
            owed_database: None,
            ledger: BTreeMap::new(),
            shared_ledger,
            has_answered: false,
            tls: None,
            tls_refusal: None,
        }
    }

    /// The same over TLS.
    pub(super) fn after_handshake(mut self, tls: Option<Afterwards>) -> Self {
        self.tls = tls;
        self
    }

    /// Why the server broke off TLS in place of its first answer, as it does in TLS 1.3 when it refuses our certificate: the handshake
    /// is over for us before it has looked at it (RFC 8446, section 4.4.2.4). `None` when it did not.
    pub fn tls_refusal(&self) -> Option<TlsReason> {
        self.tls_refusal
    }

    /// Sends all commands in one write and reads as many replies, in order, before `deadline`. Error replies are replies.
    ///
    /// When the connect could not select its database since the server was loading, cut off from its primary or busy, that is
    /// tried again first; until it succeeds nothing is sent, since the commands would see the wrong database.
    ///
    /// # Errors
    /// `Timeout`, `Closed`, `Protocol` (also for replies that nobody asked for), `MaxClients`, and what sockets say. The
    /// connection is of no more use then and must be dropped. Only when SELECT is still refused ([`Reason::Loading`],
    /// [`Reason::Masterdown`], [`Reason::Busy`]) it stays good: see [`Connection::is_usable`].
    pub async fn exchange(&mut self, batch: &[Command], deadline: Instant) -> Result<Vec<Reply>, RedisError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let endpoint = Arc::clone(&self.endpoint);
        let step = step_of(batch);
        let place = Place {
            endpoint: &endpoint,
            step: &step,
        };
        if !self.usable {
            return Err(place.error(
                Reason::Closed,
                "the connection is of no more use after an earlier failure",
            ));
        }
        self.usable = false;
        if deadline <= Instant::now() {
            return Err(place.timeout());
        }
        timeout_at(deadline, async {
            self.expect_quiet(place)?;
            self.settle_database(place).await?;
            let replies = self.ask(batch, place).await?;
            self.settle(place)?;
            Ok(replies)
        })
        .await
        .unwrap_or_else(|_| Err(place.timeout()))
    }

    /// Sends PING and expects PONG.
    ///
    /// # Errors
    /// Those of [`Connection::exchange`]; the reason that an error reply names (`Loading`, `Masterdown`, `Busy`, `Auth`, `Denied`; else
    /// `Other`); `Protocol` for any other answer than PONG. After an error reply the connection is still good
    /// ([`Connection::is_usable`]).
    pub async fn ping(&mut self, deadline: Instant) -> Result<(), RedisError> {
        let replies = self.exchange(&[Command::new(1, &["PING"])], deadline).await?;
        let outcome = expect_pong(replies.first()).map_err(|error| RedisError {
            message: format!("{}: {}", self.endpoint, error.message),
            ..error
        });
        self.usable &= !matches!(&outcome, Err(error) if error.reason == Reason::Protocol);
        outcome
    }

    /// Whether the connection may be used: no exchange failed or was dropped half-way. Says nothing about the peer.
    pub fn is_usable(&self) -> bool {
        self.usable
    }

    /// Looks without waiting whether the connection can be used and the peer has neither closed it nor sent something unasked
    /// while it was idle. After `false` the connection must be dropped.
    pub fn is_idle_and_open(&mut self) -> bool {
        if self.usable {
            let pending = self.transport.pending(self.parser.read_buffer());
            if let Pending::End(Some(error)) = &pending {
                self.note_tls(error);
            }
            self.usable = matches!(pending, Pending::Nothing);
        }
        self.parser.release();
        self.usable
    }

    /// How many of each command this connection has sent, by name as in INFO commandstats (`config|get`), those of the connect
    /// included. Counted when sent, whether or not an answer came.
    pub fn ledger(&self) -> &BTreeMap<String, u64> {
        &self.ledger
    }

    /// What all connections to this server have sent so far, by name as in INFO commandstats: those of the connector that made
    /// this one, of its clones and of its successors to the same endpoint.
    pub fn own_calls(&self) -> BTreeMap<String, OwnCalls> {
        self.shared_ledger.calls()
    }

    /// Tells the connections of this process in a CLIENT LIST that comes over this one.
    pub fn own_sockets(&self) -> OwnSockets {
        OwnSockets::listed_by(self.own_socket.as_ref().map(OwnSocket::peer))
    }

    /// The socket with its parser and the address as it may be shown, for a connection that listens from now on. `None` when an
    /// earlier exchange failed or was dropped half-way.
    pub(super) fn into_parts(self) -> Option<(Transport, Parser, Arc<str>, Option<OwnSocket>)> {
        self.usable
            .then_some((self.transport, self.parser, self.endpoint, self.own_socket))
    }

    /// Authenticates with the given AUTH command, names the connection and selects the database in one write.
    ///
    /// An error to AUTH ends it at once, whatever else was answered: the server would go on as the default user. `LOADING`,
    /// `MASTERDOWN` and `BUSY` end nothing otherwise, since INFO works all the same; a SELECT that they prevented is owed.
    pub(super) async fn log_in(
        &mut self,
        auth: Option<Command>,
        client_name: Option<&str>,
        database: u32,
        deadline: Instant,
    ) -> Result<(), RedisError> {
        let mut steps = Vec::new();
        let mut batch = Vec::new();
        if let Some(auth) = auth {
            steps.push(Step::Auth);
            batch.push(auth);
        }
        if let Some(client_name) = client_name {
            steps.push(Step::SetName);
            batch.push(Command::new(2, &["CLIENT", "SETNAME"]).arg(client_name));
        }
        if database != 0 {
            steps.push(Step::Select(database));
            batch.push(select(database));
        }
        let endpoint = Arc::clone(&self.endpoint);
        let place = Place {
            endpoint: &endpoint,
            step: "while logging in",
        };
        self.usable = false;
        timeout_at(deadline, async {
            let unsent = self.send(&batch, place).await;
            for (position, step) in steps.iter().enumerate() {
                let reply = self.receive(position == 0, unsent.as_ref(), place).await?;
                self.note_reply(batch.get(position), &reply);
                self.judge(step, &reply, place)?;
            }
            self.settle(place)
        })
        .await
        .unwrap_or_else(|_| Err(place.timeout()))
    }

    fn judge(&mut self, step: &Step, reply: &Reply, place: Place<'_>) -> Result<(), RedisError> {
        let reason = classify_error_reply(reply);
        let waiting = matches!(reason, Some(Reason::Loading | Reason::Masterdown | Reason::Busy));
        let is_error = matches!(reply, Reply::Error(_));
        if !is_error && reply.as_bytes() != Some(b"OK") {
            return Err(place.error(Reason::Protocol, "the server answered something else than OK"));
        }
        match (step, reason) {
            (_, None) if !is_error => Ok(()),
            (Step::Auth, Some(reason)) if waiting => Err(place.refusal(reason, reply)),
            (Step::Auth, _) => Err(place.refusal(Reason::Auth, reply)),
            (_, Some(Reason::Auth)) => Err(place.refusal(Reason::Auth, reply)),
            (Step::SetName, _) => {
                if unavailability(reply) == Some(Unavailable::Denied) {
                    self.shared_ledger.note_name_denied(Instant::now());
                }
                Ok(())
            }
            (Step::Select(database), _) if waiting => {
                self.owed_database = Some(*database);
                Ok(())
            }
            (Step::Select(database), reason) => Err(RedisError {
                reason: reason.unwrap_or(Reason::Other),
                message: format!(
                    "{}: SELECT {database} was refused with {}; name a database that the server has and the user may select",
                    place.endpoint,
                    sanitised_code(reply)
                ),
            }),
        }
    }

    /// Sends the SELECT that the connect could not bring to effect.
    async fn settle_database(&mut self, place: Place<'_>) -> Result<(), RedisError> {
        let Some(database) = self.owed_database.take() else {
            return Ok(());
        };
        let replies = self.ask(&[select(database)], place).await?;
        for reply in &replies {
            self.judge(&Step::Select(database), reply, place)?;
            if self.owed_database.is_some() {
                self.settle(place)?;
                let reason = classify_error_reply(reply).unwrap_or(Reason::Other);
                return Err(place.refusal(reason, reply));
            }
        }
        Ok(())
    }

    async fn ask(&mut self, batch: &[Command], place: Place<'_>) -> Result<Vec<Reply>, RedisError> {
        let unsent = self.send(batch, place).await;
        let mut replies = Vec::with_capacity(batch.len());
        while replies.len() < batch.len() {
            let reply = self.receive(replies.is_empty(), unsent.as_ref(), place).await?;
            self.note_reply(batch.get(replies.len()), &reply);
            replies.push(reply);
        }
        Ok(replies)
    }

    /// Keeps the account of refusals, which the server counts apart.
    fn note_reply(&self, command: Option<&Command>, reply: &Reply) {
        if let (Some(command), Reply::Error(_)) = (command, reply) {
            self.shared_ledger.note_failed(command);
        }
    }

    /// Writes all commands. An error is handed on to [`Connection::receive`]: a server that turns a client away writes its
    /// reason and closes, so the reason may be readable although the write failed.
    async fn send(&mut self, batch: &[Command], place: Place<'_>) -> Option<RedisError> {
        for run in batch.chunk_by(|left, right| left.name_words() == right.name_words()) {
            if let Some(command) = run.first() {
                let sent = u64::try_from(run.len()).unwrap_or(u64::MAX);
                let name = command.name();
                self.shared_ledger.note_sent(&name, sent);
                *self.ledger.entry(name).or_default() += sent;
            }
        }
        self.parser.start_exchange();
        let wire = encode(batch);
        let written = async {
            self.transport.write_all(&wire).await?;
            self.transport.flush().await
        };
        written.await.err().map(|error| place.io(&error))
    }

    /// Reads one reply. The first one may be the farewell of a server that does not want us.
    async fn receive(
        &mut self,
        is_first: bool,
        unsent: Option<&RedisError>,
        place: Place<'_>,
    ) -> Result<Reply, RedisError> {
        loop {
            let speaks_tls = !self.has_answered && is_tls_record(self.parser.read_buffer());
            let reply = self.parser.next_reply().map_err(|error| match speaks_tls {
                true => place.speaks_tls(),
                false => place.protocol(error),
            })?;
            if let Some(reply) = reply {
                self.has_answered = true;
                return match classify_farewell(&reply).filter(|_| is_first) {
                    Some(reason) => Err(place.refusal(reason, &reply)),
                    None => Ok(reply),
                };
            }
            let read = self.transport.read_buf(self.parser.read_buffer()).await;
            let failure = match read {
                Ok(0) => place.closed(),
                Ok(_) => continue,
                Err(error) => self.broken(&error, place),
            };
            // What the server said when it broke off TLS tells more than that nothing could be written any more.
            if failure.reason == Reason::Tls {
                return Err(failure);
            }
            if speaks_tls {
                return Err(place.speaks_tls());
            }
            let failure = unsent.cloned().unwrap_or(failure);
            let is_unheard = failure.reason == Reason::Closed && !self.has_answered;
            return Err(match self.transport {
                Transport::Tcp(_) if is_unheard => place.closed_unheard(&failure),
                _ => failure,
            });
        }
    }

    /// The error of a socket that failed.
    fn broken(&mut self, error: &io::Error, place: Place<'_>) -> RedisError {
        match self.note_tls(error) {
            Some(failure) => place.tls(Reason::Tls, &failure),
            None => place.io(error),
        }
    }

    /// Keeps the account of servers that break off TLS, and counts those that do so in place of the first answer.
    fn note_tls(&mut self, error: &io::Error) -> Option<TlsFailure> {
        let tls = self.tls.as_ref()?;
        let failure = TlsFailure::of(tls_error(error)?, &tls.identification);
        if !self.has_answered && self.tls_refusal.is_none() {
            tls.account.note(failure.reason);
            self.tls_refusal = Some(failure.reason);
        }
        Some(failure)
    }

    /// Makes sure before a write that no reply lies there that would be taken for the first one.
    fn expect_quiet(&mut self, place: Place<'_>) -> Result<(), RedisError> {
        match self.transport.pending(self.parser.read_buffer()) {
            Pending::Nothing if self.parser.is_clean() => Ok(()),
            Pending::Nothing => Err(self.unsolicited(place)),
            Pending::End(None) => Err(place.closed()),
            Pending::End(Some(error)) => Err(self.broken(&error, place)),
            Pending::Data => Err(self.unsolicited(place)),
        }
    }

    /// Ends an exchange: nothing may be left over, and the read buffer is given back.
    fn settle(&mut self, place: Place<'_>) -> Result<(), RedisError> {
        if !self.parser.is_clean() {
            return Err(self.unsolicited(place));
        }
        match self.transport.pending(self.parser.read_buffer()) {
            Pending::Data => return Err(self.unsolicited(place)),
            // The replies are whole and count; the next exchange will find the connection closed.
            Pending::End(_) => {}
            Pending::Nothing => self.usable = true,
        }
        self.parser.release();
        Ok(())
    }

    /// The error for data that nobody asked for; a server that shuts us out mid-life says why.
    fn unsolicited(&mut self, place: Place<'_>) -> RedisError {
        match self.parser.next_reply() {
            Err(error) => place.protocol(error),
            Ok(Some(reply)) if classify_farewell(&reply).is_some() => {
                place.refusal(classify_farewell(&reply).unwrap_or(Reason::Protocol), &reply)
            }
            Ok(_) => place.error(Reason::Protocol, "the server sent more than it was asked for"),
        }
    }
}

#[cfg(test)]
impl Connection {
    /// Waits until there is something to read, without reading it.
    pub(in crate::redis) async fn something_came(&self) {
        let socket = match &self.transport {
            Transport::Tcp(socket) => socket,
            Transport::Tls(stream) => stream.get_ref().0,
            Transport::Unix(_) => panic!("not TCP"),
        };
        let readable = tokio::time::timeout(super::testing::PATIENCE, socket.readable());
        readable.await.expect("nothing came").unwrap();
    }
}

/// Whether the reply to PING is PONG.
///
/// # Errors
/// The reason that an error reply names (`Loading`, `Masterdown`, `Busy`, `Auth`, `Denied`; else `Other`), and `Protocol` for any
/// other reply or none.
fn expect_pong(reply: Option<&Reply>) -> Result<(), RedisError> {
    match reply {
        Some(reply) if reply.as_bytes() == Some(b"PONG") => Ok(()),
        Some(reply @ Reply::Error(_)) => {
            let reason = classify_error_reply(reply).unwrap_or(Reason::Other);
            Err(refused_ping(reason, format_args!("error {}", sanitised_code(reply))))
        }
        _ => Err(refused_ping(Reason::Protocol, format_args!("something else than PONG"))),
    }
}

fn refused_ping(reason: Reason, answer: std::fmt::Arguments<'_>) -> RedisError {
    RedisError {
        reason,
        message: format!("PING was answered with {answer}; {}", advice(reason)),
    }
}

fn select(database: u32) -> Command {
    Command::new(1, &["SELECT"]).arg(database.to_string())
}

/// Whether bytes are the beginning of an alert or a handshake message of TLS (RFC 8446, section 5.1): its type, and the major version
/// that it has always had. Nothing in RESP begins so.
fn is_tls_record(bytes: &[u8]) -> bool {
    matches!(bytes, [0x15 | 0x16, 0x03, ..])
}

/// `during info and 7 more commands`
fn step_of(batch: &[Command]) -> String {
    let first = batch.first().map(Command::name).unwrap_or_default();
    match batch.len() {
        0 | 1 => format!("during {first}"),
        length => format!("during {first} and {} more commands", length - 1),
    }
}

#[cfg(test)]
mod tests;
