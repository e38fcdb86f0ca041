//! The task of one cluster: asks one of its servers for the nodes, again and again.
//!
//! The configured nodes are asked in turn, so that one which was reset or cut off does not decide alone; when none of them answers,
//! nodes that were found are. A connection is opened for one question and closed after it: between two discoveries there is none.

use super::findings::{Answer, Findings};
use super::topology::Question;
use crate::config::InstanceConfig;
use crate::config::cluster::ClusterConfig;
use crate::config::types::Endpoint;
use crate::redis::{CAPABILITY_LIFETIME, Connector, Reason, RedisError, Unavailable, sanitised_code, unavailability};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Shortest time between two discoveries, whatever `poll.info_interval` says: a cluster's nodes seldom change, and each question costs a
/// connection.
pub const MIN_INTERVAL: Duration = Duration::from_secs(2);

/// Configured nodes that one discovery asks. Each may take a whole `poll.timeout`; the next discovery begins with another one.
const MAX_SEEDS_ASKED: usize = 4;
/// Nodes that were found and are asked after them.
const MAX_FOUND_ASKED: usize = 4;

/// Time between two discoveries of a cluster: `poll.info_interval`, at least [`MIN_INTERVAL`].
pub fn interval(cluster: &ClusterConfig) -> Duration {
    cluster.template.poll.info_interval.max(MIN_INTERVAL)
}

/// Time until the next discovery after one that failed: `poll.ping_interval` where that is shorter, so that a cluster that comes back is
/// seen as soon as an instance that does.
pub fn retry_interval(cluster: &ClusterConfig) -> Duration {
    let ping = cluster.template.poll.ping_interval.max(MIN_INTERVAL);
    interval(cluster).min(ping)
}

/// Connectors to the servers of a cluster, one for each that may be asked: a lookup of a name that hangs is taken up again instead of
/// being begun once more. A finder that follows another one takes them over.
pub type Connectors = Arc<Mutex<BTreeMap<Endpoint, Connector>>>;

/// Finds the nodes of one cluster.
#[derive(Debug)]
pub struct Finder {
    cluster: Arc<ClusterConfig>,
    connectors: Connectors,
    /// Discoveries so far, which decides who is asked first.
    round: usize,
    /// Which question was answered last, and since when it is the first one.
    question: Option<(usize, Instant)>,
    /// Which questions a server refused, why, and since when. Each is asked again after [`CAPABILITY_LIFETIME`]; a server that refused
    /// all of them is not connected to until then, since every refusal is an entry in its statistics of errors or in its ACL LOG.
    refused: BTreeMap<Endpoint, BTreeMap<usize, (Unavailable, Instant)>>,
}

impl Finder {
    /// A finder that has asked nobody yet. `connectors` are those of the finder that it follows.
    pub fn new(cluster: Arc<ClusterConfig>, connectors: Connectors) -> Self {
        Self {
            cluster,
            connectors,
            round: 0,
            question: None,
            refused: BTreeMap::new(),
        }
    }

    /// One discovery: asks until one server gives a good answer, and notes what comes of it. Says in the log what changed.
    pub async fn discover(&mut self, findings: &mut Findings) {
        let sources = self.sources(findings);
        let seeds = &self.cluster.seeds;
        // Those that are not asked this time are kept: their lookups may still hang.
        let is_known = |endpoint: &Endpoint| seeds.contains(endpoint) || findings.roster.contains(endpoint);
        self.connectors().retain(|endpoint, _| is_known(endpoint));
        self.refused.retain(|endpoint, _| is_known(endpoint));
        self.round = self.round.wrapping_add(1);
        let mut first_failure = None;
        for source in sources {
            match self.ask(&source, findings).await {
                Ok(answer) => {
                    self.note(findings, &answer);
                    return;
                }
                Err(error) => {
                    tracing::debug!(cluster = %self.cluster.name, %error, "a server did not name the nodes of its cluster");
                    first_failure.get_or_insert(error);
                }
            }
        }
        let sentence = first_failure.map_or_else(|| "there is no server to ask".to_owned(), |error| error.message);
        if findings.error.is_none() {
            tracing::warn!(
                cluster = %self.cluster.name,
                reason = %sentence,
                "the nodes of the cluster cannot be found out; those that are known stay"
            );
        }
        findings.fail(sentence);
    }

    fn note(&self, findings: &mut Findings, answer: &Answer) {
        let cluster = &*self.cluster;
        let (had_failed, had_left_out) = (findings.error.is_some(), findings.left_out.clone());
        let changes = findings.take(cluster, answer, SystemTime::now());
        if changes.added > 0 || changes.removed > 0 {
            let (added, removed, nodes) = (changes.added, changes.removed, findings.roster.nodes().len());
            tracing::info!(cluster = %cluster.name, added, removed, nodes, "the cluster has other nodes");
        } else if had_failed {
            tracing::info!(cluster = %cluster.name, "the nodes of the cluster can be found out again");
        }
        if findings.left_out == had_left_out {
            return;
        }
        for (refusal, count) in &findings.left_out.counts {
            if had_left_out.count(*refusal) == *count {
                continue;
            }
            let named = findings.left_out.named.iter().find(|(_, reason)| reason == refusal);
            let first = named.map_or("", |(name, _)| name.as_str());
            tracing::warn!(
                cluster = %cluster.name,
                count,
                first,
                "nodes of the cluster are not watched: {}",
                refusal.sentence(cluster.template.address.tls)
            );
        }
    }

    /// Who is asked, in order.
    fn sources(&self, findings: &Findings) -> Vec<Endpoint> {
        let seeds = &self.cluster.seeds;
        let skip = self.round % seeds.len().max(1);
        let in_turn = seeds.iter().cycle().skip(skip).take(seeds.len().min(MAX_SEEDS_ASKED));
        let mut sources: Vec<Endpoint> = in_turn.cloned().collect();
        let found: Vec<&Endpoint> = findings.roster.present().filter(|node| !seeds.contains(node)).collect();
        let skip = self.round % found.len().max(1);
        let in_turn = found.iter().cycle().skip(skip).take(found.len().min(MAX_FOUND_ASKED));
        sources.extend(in_turn.map(|node| Endpoint::clone(node)));
        sources
    }

    async fn ask(&mut self, source: &Endpoint, findings: &Findings) -> Result<Answer, RedisError> {
        let deadline = Instant::now() + self.cluster.template.poll.timeout;
        let networks = findings.admission(&self.cluster).networks;
        let instance = self.cluster.node(source.clone(), networks.as_ref());
        let failure = |reason: Reason, what: &str| RedisError {
            reason,
            message: format!("{}: {what}", instance.address),
        };
        let questions = self.questions(source);
        if questions.is_empty() {
            let (reason, sentence) = self.refusal(source);
            return Err(failure(reason, &sentence));
        }
        let connector = self.connector(source, &instance);
        let (mut connection, handshake) = connector.connect(deadline).await.map_err(|(_, error)| error)?;
        let addresses = handshake.addresses;
        for position in questions {
            let Some(question) = Question::ALL.get(position) else {
                continue;
            };
            let command = question.command();
            let replies = connection.exchange(std::slice::from_ref(&command), deadline).await?;
            let Some(reply) = replies.first() else {
                continue;
            };
            match unavailability(reply) {
                Some(why) => {
                    let refused = self.refused.entry(source.clone()).or_default();
                    refused.insert(position, (why, Instant::now()));
                }
                None if reply.error_code().is_some() => {
                    let name = command.name().replace('|', " ").to_uppercase();
                    return Err(failure(
                        Reason::Other,
                        &format!("{name} was answered with error {}", sanitised_code(reply)),
                    ));
                }
                None => {
                    let announcement = question
                        .read(reply, self.cluster.template.address.tls)
                        .map_err(|error| failure(Reason::Protocol, &error.to_string()))?;
                    self.answered(source, position);
                    return Ok(Answer {
                        source: source.clone(),
                        addresses,
                        announcement,
                    });
                }
            }
        }
        let (reason, sentence) = self.refusal(source);
        Err(failure(reason, &sentence))
    }

    /// The connectors; whoever held them last may have panicked, which breaks none of them.
    fn connectors(&self) -> MutexGuard<'_, BTreeMap<Endpoint, Connector>> {
        self.connectors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connector(&self, source: &Endpoint, instance: &InstanceConfig) -> Connector {
        let mut connectors = self.connectors();
        let connector = match connectors.get(source) {
            Some(old) => old.succeeded_by(instance),
            None => Connector::new(instance),
        };
        connectors.insert(source.clone(), connector.clone());
        connector
    }

    /// What a server that answers no question is told to be, and what mends it.
    fn refusal(&self, source: &Endpoint) -> (Reason, String) {
        let refused = self.refused.get(source).into_iter().flatten();
        let denied = refused.filter(|(_, (why, _))| *why == Unavailable::Denied);
        let rules: BTreeSet<String> = denied
            .filter_map(|(position, _)| Question::ALL.get(*position))
            .map(|question| format!("+{}", question.command().name()))
            .collect();
        if rules.is_empty() {
            let sentence = "the server is no node of a cluster; write its address as `redis://` or `rediss://` (without --is-cluster), or start it with \
                            `cluster-enabled yes`";
            return (Reason::Other, sentence.to_owned());
        }
        let user = self.cluster.template.username.as_deref().unwrap_or("default");
        let sentence = format!(
            "the user may not ask for the nodes; one of these is enough: ACL SETUSER {user} {}",
            join(&rules)
        );
        (Reason::Denied, sentence)
    }

    /// The questions for a server in the order in which they are asked: the one that was answered last first, for as long as a refusal is
    /// remembered, and none that the server refused a while ago.
    fn questions(&self, source: &Endpoint) -> Vec<usize> {
        let is_remembered = |since: &Instant| since.elapsed() < CAPABILITY_LIFETIME;
        let remembered = self.question.filter(|(_, since)| is_remembered(since));
        let first = remembered.map_or(0, |(position, _)| position);
        let all = 0..Question::ALL.len();
        let in_order = std::iter::once(first).chain(all.filter(|position| *position != first));
        let refused = self.refused.get(source);
        let is_refused = |position: &usize| {
            refused
                .and_then(|it| it.get(position))
                .is_some_and(|(_, since)| is_remembered(since))
        };
        in_order.filter(|position| !is_refused(position)).collect()
    }

    fn answered(&mut self, source: &Endpoint, position: usize) {
        if let Some(refused) = self.refused.get_mut(source) {
            refused.remove(&position);
        }
        match self.question {
            Some((known, since)) if known == position && since.elapsed() < CAPABILITY_LIFETIME => {}
            _ => self.question = Some((position, Instant::now())),
        }
    }
}

fn join(rules: &BTreeSet<String>) -> String {
    rules.iter().map(String::as_str).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests;
