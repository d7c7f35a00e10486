//! Responses, each named once (RFC 4511 §4.1.9).

use ldap3_proto::{
    control::{LdapControl, ServerSortResult},
    proto::{
        LdapBindResponse, LdapExtendedResponse, LdapMsg, LdapOp, LdapResult, LdapResultCode as Code,
    },
};

use super::Action;
use crate::codec::Operation;

/// Notice of disconnection (RFC 4511 §4.4.1).
const DISCONNECTION: &str = "1.3.6.1.4.1.1466.20036";

/// Answers one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    id: i32,
    operation: Operation,
}

fn result(code: Code, message: &str) -> LdapResult {
    LdapResult { code, matcheddn: String::new(), message: message.to_owned(), referral: Vec::new() }
}

/// Tells the peer why the connection ends.
pub(crate) fn notice(code: Code, message: &str) -> LdapMsg {
    let name = Some(DISCONNECTION.to_owned());
    let response = LdapExtendedResponse { res: result(code, message), name, value: None };
    LdapMsg::new(0, LdapOp::ExtendedResponse(response))
}

/// How sorting went (RFC 2891 §1.2).
pub(super) fn sort_result(sorted: Result<(), String>) -> LdapControl {
    let (result_code, attribute_type) = match sorted {
        Ok(()) => (Code::Success, None),
        Err(name) => (Code::NoSuchAttribute, Some(name)),
    };
    LdapControl::ServerSortResult { sort_result: ServerSortResult { result_code, attribute_type } }
}

impl Answer {
    pub(crate) fn to(id: i32, operation: Operation) -> Self {
        Self { id, operation }
    }

    pub(crate) fn id(&self) -> i32 {
        self.id
    }

    fn send(self, op: LdapOp, controls: Vec<LdapControl>) -> Vec<Action> {
        vec![Action::Send(Box::new(LdapMsg::new_with_ctrls(self.id, op, controls)))]
    }

    /// A result without more, in the response that belongs to the request. Requests without a response get none.
    pub(crate) fn refuse(self, code: Code, message: &str) -> Vec<Action> {
        let result = result(code, message);
        let op = match self.operation {
            Operation::Bind => return self.bind(result.code, message, None),
            Operation::Search => LdapOp::SearchResultDone(result),
            Operation::Modify => LdapOp::ModifyResponse(result),
            Operation::Add => LdapOp::AddResponse(result),
            Operation::Delete => LdapOp::DelResponse(result),
            Operation::ModifyDn => LdapOp::ModifyDNResponse(result),
            Operation::Compare => LdapOp::CompareResult(result),
            Operation::Extended => LdapOp::ExtendedResponse(LdapExtendedResponse {
                res: result,
                name: None,
                value: None,
            }),
            Operation::Abandon | Operation::Unbind => return Vec::new(),
        };
        self.send(op, Vec::new())
    }

    pub(crate) fn bind(self, code: Code, message: &str, saslcreds: Option<Vec<u8>>) -> Vec<Action> {
        let response = LdapBindResponse { res: result(code, message), saslcreds };
        self.send(LdapOp::BindResponse(response), Vec::new())
    }

    pub(crate) fn search_done(
        self,
        code: Code,
        message: &str,
        controls: Vec<LdapControl>,
    ) -> Vec<Action> {
        self.send(LdapOp::SearchResultDone(result(code, message)), controls)
    }

    pub(crate) fn extended(self, name: Option<&str>, value: Option<Vec<u8>>) -> Vec<Action> {
        let name = name.map(str::to_owned);
        let response = LdapExtendedResponse { res: result(Code::Success, ""), name, value };
        self.send(LdapOp::ExtendedResponse(response), Vec::new())
    }
}
