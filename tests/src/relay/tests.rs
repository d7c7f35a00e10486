use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::Instant,
};

use super::*;

/// A relay from node 0 to an echo, which is node 1.
fn echo(source: Source) -> (Relay, SocketAddr) {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = target.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in target.incoming().flatten() {
            std::thread::spawn(move || {
                let mut writer = stream.try_clone().unwrap();
                let _ = std::io::copy(&mut &stream, &mut writer);
                let _ = writer.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    let relay = Relay::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = listener.local_addr().unwrap();
    relay.serve(listener, source, 1, address, None).unwrap();
    (relay, here)
}

fn connect(address: SocketAddr, patience: Duration) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends a line and waits for it; the time that it took.
fn say(stream: &mut TcpStream) -> std::io::Result<Duration> {
    let begin = Instant::now();
    stream.write_all(b"hello\n")?;
    let mut answer = [0; 6];
    stream.read_exact(&mut answer)?;
    assert_eq!(&answer, b"hello\n");
    Ok(begin.elapsed())
}

const SHORT: Duration = Duration::from_millis(250);
const LONG: Duration = Duration::from_secs(20);

#[test]
fn everything_that_is_sent_arrives_once_and_in_order() {
    let (relay, address) = echo(Source::Node(0));
    relay.set_both(0, 1, Link::slow(Duration::from_millis(1), Duration::from_millis(5)));
    let mut stream = connect(address, LONG);
    let sent: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut writer = stream.try_clone().unwrap();
    let copy = sent.clone();
    let write = std::thread::spawn(move || {
        writer.write_all(&copy).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    write.join().unwrap();
    assert!(got == sent);
}

#[test]
fn a_slow_link_is_slow_in_its_direction() {
    let (relay, address) = echo(Source::Node(0));
    let mut stream = connect(address, LONG);
    say(&mut stream).unwrap();
    let delay = Duration::from_millis(120);
    relay.set(0, 1, Link::slow(delay, Duration::ZERO));
    assert!(say(&mut stream).unwrap() >= delay);
    relay.set(1, 0, Link::slow(delay, Duration::ZERO));
    assert!(say(&mut stream).unwrap() >= 2 * delay);
}

#[test]
fn a_narrow_link_takes_its_time() {
    let (relay, address) = echo(Source::Node(0));
    relay.set(0, 1, Link { rate: 200_000, ..Link::default() });
    let mut stream = connect(address, LONG);
    let begin = Instant::now();
    stream.write_all(&[7; 40_000]).unwrap();
    stream.read_exact(&mut [0; 40_000]).unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(150), "{:?}", begin.elapsed());
}

#[test]
fn what_was_sent_into_a_dark_link_arrives_when_it_is_mended() {
    for (from, to) in [(0, 1), (1, 0)] {
        let (relay, address) = echo(Source::Node(0));
        let mut stream = connect(address, SHORT);
        say(&mut stream).unwrap();
        relay.set(from, to, Link::DARK);
        assert!(say(&mut stream).is_err(), "{from} to {to} is dark");
        let mut late = connect(address, SHORT);
        assert!(say(&mut late).is_err(), "nor do new connections get through");
        relay.heal();
        let mut answer = [0; 6];
        for stream in [&mut stream, &mut late] {
            stream.set_read_timeout(Some(LONG)).unwrap();
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"hello\n");
        }
    }
}

#[test]
fn a_reset_link_breaks_what_is_open_and_takes_new_connections() {
    let (relay, address) = echo(Source::Node(0));
    let mut stream = connect(address, LONG);
    say(&mut stream).unwrap();
    relay.reset(0, 1);
    let broken = stream.read(&mut [0; 1]);
    assert!(broken.is_err(), "{broken:?}");
    say(&mut connect(address, LONG)).unwrap();
}

#[test]
fn processes_on_loopback_are_told_apart() {
    let pids = Pids::default();
    let (relay, address) = echo(Source::Process(pids.clone()));
    relay.set_both(0, 1, Link::DARK);
    say(&mut connect(address, LONG)).expect("a stranger's link is good");
    pids.set(0, std::process::id());
    assert!(say(&mut connect(address, SHORT)).is_err(), "the link of node 0 is dark");
    pids.set(0, 0);
    say(&mut connect(address, LONG)).unwrap();
}
