//! How a node comes to life: answers, checks, and the steps that make a domain out of them.
//!
//! Three doors fill the same [`Answers`] and run the same steps (DESIGN §8): an answers file
//! ([`Answers::from_toml`]), the terminal ([`terminal`]), and web pages ([`web`]). Either everything is
//! set up or nothing: the domain appears by one agreed command. With a code they make the node one of a cluster
//! instead ([`join`]).
#![forbid(unsafe_code)]

mod answers;
mod apply;
mod check;
mod join;
mod password;
pub mod terminal;
pub mod web;

pub use answers::{
    AliasAnswers, Answers, AnswersError, DirectoryAnswers, GroupAnswers, Problem, Tls, UserAnswers,
};
pub use apply::{ApplyError, Generated, Opener, Outcome, Parts, apply, source_spec};
pub use check::{Check, CheckOutcome, Checker};
pub use join::{JoinOutcome, Joiner, check_code, join};
pub use password::Password;
