//! A DNS server with a table of the test's own.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use hickory_resolver::proto::{
    op::{Message, MessageType, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata::MX},
};
use tokio::net::UdpSocket;

type Table = HashMap<String, Vec<RData>>;

/// Answers from its table; names that are not there do not exist, names in `broken.test` get SERVFAIL.
#[derive(Clone)]
pub struct Dns {
    pub address: SocketAddr,
    table: Arc<Mutex<Table>>,
}

impl Dns {
    pub async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let dns = Self { address: socket.local_addr().unwrap(), table: Arc::default() };
        let table = dns.table.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 2048];
            while let Ok((count, peer)) = socket.recv_from(&mut buffer).await {
                let Ok(query) = Message::from_vec(&buffer[..count]) else { continue };
                let answer = answer(query, &table.lock().unwrap());
                let _ = socket.send_to(&answer, peer).await;
            }
        });
        dns
    }

    fn add(&self, name: &str, data: RData) {
        self.table.lock().unwrap().entry(name.to_owned()).or_default().push(data);
    }

    /// MX of `domain`; an empty host is the null MX.
    pub fn mx(&self, domain: &str, preference: u16, host: &str) {
        let exchange = Name::from_ascii(format!("{host}.")).unwrap();
        self.add(domain, RData::MX(MX::new(preference, exchange)));
    }

    pub fn host(&self, name: &str, address: &str) {
        let data = match address.parse().unwrap() {
            IpAddr::V4(v4) => RData::A(v4.into()),
            IpAddr::V6(v6) => RData::AAAA(v6.into()),
        };
        self.add(name, data);
    }

    /// A domain whose only host is at `address`.
    pub fn domain(&self, domain: &str, address: &str) {
        self.mx(domain, 10, &format!("mx.{domain}"));
        self.host(&format!("mx.{domain}"), address);
    }
}

fn answer(query: Message, table: &Table) -> Vec<u8> {
    let mut response = query.clone();
    response.metadata.message_type = MessageType::Response;
    let question = query.queries[0].clone();
    let name = question.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
    match table.get(&name) {
        _ if name.ends_with("broken.test") => {
            response.metadata.response_code = ResponseCode::ServFail
        }
        None => response.metadata.response_code = ResponseCode::NXDomain,
        Some(records) => {
            for data in records.iter().filter(|data| kind(data) == question.query_type()) {
                response.add_answer(Record::from_rdata(question.name().clone(), 0, data.clone()));
            }
        }
    }
    response.to_vec().unwrap()
}

fn kind(data: &RData) -> RecordType {
    match data {
        RData::MX(_) => RecordType::MX,
        RData::A(_) => RecordType::A,
        _ => RecordType::AAAA,
    }
}
