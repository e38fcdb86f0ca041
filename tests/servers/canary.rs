//! Secrets are planted wherever one can stand, and everything that the process emits is searched for them: its outputs at every level and
//! in both formats, every endpoint, every error answer, its commands, in every fault that the other tests know.
//!
//! A secret is known by a word that stands at its beginning and at its end, and is looked for in every form in which a program might
//! write it ([`matcher`]). User names, names of instances, patterns of stores and names of keys that the configuration gives are no
//! secrets and hold no such word.

mod broken;
mod command_lines;
mod encrypted;
mod faults;
mod matcher;
mod outside;
mod page;
mod plants;
mod sources;
