//! What the flags of `redis_exporter` say about TLS to servers, as the section `tls` of `defaults`.

use super::decode::{Decoder, Located, unplaced};
use super::peer_flags::{PeerValue, Remark, ServerFlag};
use super::tls::{
    ClientCertificate, NOT_A_SERVER_NAME, TlsLayer, absolute, canonical_server_name, checked, misfit, subject,
    unverified_sentence,
};
use crate::tls::files::{TlsFileError, certificates, private_key};
use std::path::{Path, PathBuf};

/// A text with the flag or variable that it came from.
type Origin<T> = (&'static str, T);

/// What was given. Empty means nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PeerTls {
    ca_file: Option<Origin<String>>,
    cert_file: Option<Origin<String>>,
    key_file: Option<Origin<String>>,
    server_name: Option<Origin<String>>,
    skip_verification: Option<&'static str>,
}

impl PeerTls {
    /// Takes one flag up; those that are not about TLS change nothing.
    ///
    /// # Errors
    /// What is wrong with the value, without it.
    pub(super) fn set(&mut self, flag: ServerFlag, origin: &'static str, value: &PeerValue) -> Result<(), String> {
        let text = || (!value.text().is_empty()).then(|| (origin, value.text().to_owned()));
        match flag {
            ServerFlag::TlsCaCertFile => self.ca_file = text(),
            ServerFlag::TlsClientCertFile => self.cert_file = text(),
            ServerFlag::TlsClientKeyFile => self.key_file = text(),
            ServerFlag::TlsServerName => {
                self.server_name = match text() {
                    Some((origin, name)) => {
                        let name = canonical_server_name(&name).ok_or(NOT_A_SERVER_NAME)?;
                        Some((origin, name))
                    }
                    None => None,
                };
            }
            ServerFlag::SkipTlsVerification => self.skip_verification = value.is_on().then_some(origin),
            _ => {}
        }
        Ok(())
    }

    /// The section. Where no address asks for TLS, nothing of it is used and no file looked at, as there, which a remark says.
    pub(super) fn layer(&self, decoder: &mut Decoder<'_>, is_spoken: bool, remarks: &mut Vec<Remark>) -> TlsLayer {
        let files = [&self.ca_file, &self.cert_file, &self.key_file, &self.server_name];
        let origins = files.into_iter().flatten().map(|(origin, _)| *origin);
        let origins: Vec<&'static str> = origins.chain(self.skip_verification).collect();
        if !is_spoken {
            remarks.extend(origins.into_iter().map(|origin| Remark {
                origin,
                reason: "no address begins with rediss://, so there is no TLS that it could change".to_owned(),
            }));
            return TlsLayer::default();
        }
        let authorities = |path: &Path| certificates(path).map(|_| ());
        TlsLayer {
            section: origins.first().map(|_| unplaced(())),
            ca_file: file(decoder, self.ca_file.as_ref(), authorities).map(Some),
            client_certificate: self.pair(decoder).map(Some),
            server_name: self.server_name.as_ref().map(|(_, name)| Some(name.clone())),
            insecure_skip_verify: self.skip_verification.map(|_| Located {
                value: true,
                place: None,
                path: String::new(),
            }),
            min_version: None,
        }
    }

    /// redis_exporter, too, ends at once when there is one without the other.
    fn pair(&self, decoder: &mut Decoder<'_>) -> Option<ClientCertificate> {
        let (certificate, key) = (self.cert_file.as_ref(), self.key_file.as_ref());
        for (one, other, missing) in [
            (certificate, key, "--tls-client-key-file"),
            (key, certificate, "--tls-client-cert-file"),
        ] {
            if let (Some((origin, _)), None) = (one, other) {
                decoder.problems.set_origin(origin);
                let message = format!("stands without {missing}; give both, or neither");
                decoder.problems.add(None, "", message);
            }
        }
        let (Some(_), Some((origin, _))) = (certificate, key) else {
            return None;
        };
        let cert_file = file(decoder, certificate, |path| certificates(path).map(|_| ()))?;
        let key_file = file(decoder, key, |path| private_key(path).map(|_| ()))?;
        let pair = ClientCertificate { cert_file, key_file };
        if let Some(what) = misfit(&pair) {
            decoder.problems.set_origin(origin);
            decoder.problems.warn(None, "", what);
        }
        Some(pair)
    }

    /// What to say when these instances are not verified because of a flag.
    pub(super) fn unverified_warning(&self, names: &[&str]) -> Option<String> {
        let origin = self.skip_verification.filter(|_| !names.is_empty())?;
        Some(format!(
            "{origin} {}.",
            unverified_sentence(names, "--tls-ca-cert-file")
        ))
    }
}

/// The path of a file that can be used now.
fn file(
    decoder: &mut Decoder<'_>,
    given: Option<&Origin<String>>,
    read: fn(&Path) -> Result<(), TlsFileError>,
) -> Option<PathBuf> {
    let (origin, written) = given?;
    let path = absolute(Path::new(""), written);
    if let Err(what) = checked(&path, read) {
        decoder.problems.set_origin(origin);
        let message = format!("{}: {what}", subject(written, false, false));
        decoder.problems.add(None, "", message);
    }
    Some(path)
}
