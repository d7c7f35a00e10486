//! Codes of invites: see [`posthouse_cluster::fuzz::invite_code`].
#![no_main]

use posthouse_cluster::join::InviteCode;

libfuzzer_sys::fuzz_target!(
    init: {
        let addresses = [vec![], vec!["192.0.2.7:4041"], vec!["[2001:db8::7]:1", "node.example:4041"]];
        let codes = addresses.map(|addresses| {
            let addresses = addresses.into_iter().map(str::to_owned).collect();
            InviteCode::new(addresses, &[1; 32], [2; 16], [3; 16]).to_string()
        });
        posthouse_fuzz::seed(codes);
    },
    |data: &[u8]| posthouse_cluster::fuzz::invite_code(data)
);
