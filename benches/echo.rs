//! Each thing beside its own limit, in turn, in one run: what counts is the ratio.
//!
//! Run with `cargo bench`. The transform stands beside `str::to_uppercase` and a plain copy, the two servers beside the
//! same loops without a transform.

#![allow(
    clippy::cast_precision_loss,
    reason = "sizes and counts here are far below 2^52"
)]

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};
use uppercase_echo::{tcp, udp, uppercase};

/// Turns of each pair; the median counts.
const TURNS: usize = 9;

const SCRIPTS: &[(&str, &str)] = &[
    (
        "English",
        "The quick brown fox jumps over the lazy dog, and that is all there is to say. ",
    ),
    (
        "curly quotes",
        "“The quick brown fox,” she said, “doesn’t jump over the lazy dog’s back — it’s asleep…” ",
    ),
    (
        "German",
        "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich, während Vögel zwitschern. ",
    ),
    (
        "Russian",
        "Все люди рождаются свободными и равными в своём достоинстве и правах. ",
    ),
    (
        "Greek",
        "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα. ",
    ),
    (
        "Georgian",
        "ყველა ადამიანი იბადება თავისუფალი და თანასწორი თავისი ღირსებითა და უფლებებით. ",
    ),
    (
        "Korean",
        "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. ",
    ),
    (
        "Japanese",
        "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    ),
    (
        "Hindi",
        "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है। ",
    ),
    (
        "Arabic",
        "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق. وقد وهبوا عقلاً وضميرًا ",
    ),
    ("emoji", "hello 😀😃😄 world 🎉🎊 party ❤️ time 👍🏽 yes 🚀 "),
];

fn main() {
    transform();
    over_udp();
    over_tcp();
}

fn transform() {
    println!(
        "{:<34}{:>10}{:>10}{:>8}",
        "transform, GB/s", "ours", "beside", "ratio"
    );
    for (name, text) in SCRIPTS {
        let text = text.repeat((1 << 18) / text.len());
        let size = text.len() as f64 / 1e9;
        row(
            &format!("{name}, to_uppercase"),
            2,
            || 20.0 * size / time(20, || uppercase(text.as_bytes())),
            || 20.0 * size / time(20, || text.to_uppercase()),
        );
    }
    let english = SCRIPTS[0].1.repeat(1 << 12).into_bytes();
    let size = english.len() as f64 / 1e9;
    row(
        "English, plain copy",
        2,
        || 50.0 * size / time(50, || uppercase(&english)),
        || 50.0 * size / time(50, || english.clone()),
    );
    let random = random(1 << 18);
    let size = random.len() as f64 / 1e9;
    row(
        "random bytes, utf8_chunks",
        2,
        || 20.0 * size / time(20, || uppercase(&random)),
        || 5.0 * size / time(5, || utf8_chunks(&random)),
    );
    for (name, text) in [
        ("32 bytes English, M/s", "hello, this is thirty-two bytes."),
        ("32 bytes Korean, M/s", "안녕하세요, 안녕하세요"),
    ] {
        row(
            name,
            1,
            || 0.1 / time(100_000, || uppercase(black_box(text.as_bytes()))),
            || 0.1 / time(100_000, || black_box(text).to_uppercase()),
        );
    }
}

fn over_udp() {
    println!(
        "\n{:<34}{:>10}{:>10}{:>8}",
        "UDP, k answers/s, 16 outstanding", "ours", "bare", "ratio"
    );
    let (ours, bare) = (udp_ours(), udp_bare());
    for size in [32, 1400] {
        row(
            &format!("{size} bytes"),
            0,
            || udp_load(ours, size),
            || udp_load(bare, size),
        );
    }
    let mut client = udp::Client::new(&[ours], Duration::from_secs(5));
    let pair = UdpSocket::bind("127.0.0.1:0").unwrap();
    pair.connect(ours).unwrap();
    pair.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    row(
        "client, one at a time",
        0,
        || {
            10.0 / time(10_000, || {
                client
                    .ask(b"hello, this is thirty-two bytes.", |_| {})
                    .unwrap()
                    .len()
            })
        },
        || {
            10.0 / time(10_000, || {
                pair.send(b"hello, this is thirty-two bytes.").unwrap();
                pair.recv(&mut [0; 2048]).unwrap()
            })
        },
    );
}

fn over_tcp() {
    println!("\n{:<34}{:>10}{:>10}{:>8}", "TCP", "ours", "bare", "ratio");
    let (ours, bare) = (tcp_ours(), tcp_bare());
    row(
        "32 bytes, 64 connections, k/s",
        0,
        || ping_pong(ours),
        || ping_pong(bare),
    );
    row(
        "connect, answer, close, k/s",
        1,
        || connects(ours),
        || connects(tcp_spawn()),
    );
    let english = SCRIPTS[0].1.repeat(1 << 12);
    let korean = SCRIPTS[6].1.repeat(1 << 12).into_bytes();
    row(
        "bulk, English, GB/s",
        2,
        || bulk(ours, english.as_bytes()),
        || bulk(bare, english.as_bytes()),
    );
    row(
        "bulk, Korean, GB/s",
        2,
        || bulk(ours, &korean),
        || bulk(bare, &korean),
    );
}

/// Prints the medians of `ours` and `beside`, run in turn, and the median of their ratios.
fn row(name: &str, digits: usize, mut ours: impl FnMut() -> f64, mut beside: impl FnMut() -> f64) {
    let turns: Vec<_> = (0..TURNS).map(|_| (ours(), beside())).collect();
    let median = |of: fn(&(f64, f64)) -> f64| {
        let mut values: Vec<f64> = turns.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[TURNS / 2]
    };
    let (a, b, ratio) = (
        median(|turn| turn.0),
        median(|turn| turn.1),
        median(|turn| turn.0 / turn.1),
    );
    println!("{name:<34}{a:>10.digits$}{b:>10.digits$}{ratio:>8.2}");
}

/// Seconds that `count` calls take.
fn time<T>(count: u32, mut call: impl FnMut() -> T) -> f64 {
    let start = Instant::now();
    for _ in 0..count {
        black_box(call());
    }
    start.elapsed().as_secs_f64()
}

fn utf8_chunks(bytes: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        output.extend_from_slice(chunk.valid().to_uppercase().as_bytes());
        output.extend_from_slice(chunk.invalid());
    }
    output
}

/// xorshift64 with a fixed seed.
fn random(size: usize) -> Vec<u8> {
    let mut state: u64 = 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(size).collect()
}

fn udp_ours() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    udp::serve(socket, |_| {}).unwrap();
    address
}

fn udp_bare() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = vec![0; 65535];
        loop {
            let (size, peer) = socket.recv_from(&mut buffer).unwrap();
            socket.send_to(&buffer[..size], peer).unwrap();
        }
    });
    address
}

/// Thousands of answers a second, with 16 datagrams on their way.
fn udp_load(server: SocketAddr, size: usize) -> f64 {
    const COUNT: usize = 60_000;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let (datagram, mut buffer) = (vec![b'x'; size], [0; 2048]);
    let start = Instant::now();
    for count in 0..COUNT + 16 {
        if count >= 16 {
            socket.recv(&mut buffer).unwrap();
        }
        if count < COUNT {
            socket.send(&datagram).unwrap();
        }
    }
    COUNT as f64 / 1e3 / start.elapsed().as_secs_f64()
}

fn tcp_ours() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    tcp::serve(
        listener,
        std::num::NonZero::new(70).unwrap(),
        Duration::from_secs(300),
        |_| {},
    )
    .unwrap();
    address
}

fn bare_loop(mut stream: &TcpStream, buffer: &mut [u8]) {
    stream.set_nodelay(true).unwrap();
    while let Ok(size @ 1..) = stream.read(buffer) {
        if stream.write_all(&buffer[..size]).is_err() {
            break;
        }
    }
}

/// The same model of threads, without time limits and transform.
fn tcp_bare() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let listener = std::sync::Arc::new(listener);
    for _ in 0..70 {
        let listener = listener.clone();
        thread::spawn(move || {
            let mut buffer = vec![0; 65536];
            loop {
                bare_loop(&listener.accept().unwrap().0, &mut buffer);
            }
        });
    }
    address
}

/// A thread for each connection, as most programs have it. It ends with the bench.
fn tcp_spawn() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        loop {
            let (stream, _) = listener.accept().unwrap();
            thread::spawn(move || bare_loop(&stream, &mut vec![0; 65536]));
        }
    });
    address
}

fn ask(mut stream: &TcpStream) {
    stream
        .write_all(b"hello, this is thirty-two bytes.")
        .unwrap();
    stream.read_exact(&mut [0; 32]).unwrap();
}

fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    stream
}

/// Thousands of answers a second; each connection has one sentence on its way.
fn ping_pong(server: SocketAddr) -> f64 {
    const ROUNDS: usize = 800;
    let streams: Vec<_> = (0..64).map(|_| connect(server)).collect();
    let start = Instant::now();
    for _ in 0..ROUNDS {
        for mut stream in &streams {
            stream
                .write_all(b"hello, this is thirty-two bytes.")
                .unwrap();
        }
        for mut stream in &streams {
            stream.read_exact(&mut [0; 32]).unwrap();
        }
    }
    (64 * ROUNDS) as f64 / 1e3 / start.elapsed().as_secs_f64()
}

/// Thousands of connections a second, with one answer each.
fn connects(server: SocketAddr) -> f64 {
    const COUNT: u32 = 2000;
    let seconds = time(COUNT, || ask(&connect(server)));
    f64::from(COUNT) / 1e3 / seconds
}

/// GB/s through one connection, both ways at once.
fn bulk(server: SocketAddr, part: &[u8]) -> f64 {
    let (stream, times) = (connect(server), (256 << 20) / part.len());
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..times {
                (&stream).write_all(part).unwrap();
            }
            stream.shutdown(Shutdown::Write).unwrap();
        });
        let mut buffer = vec![0; 1 << 18];
        while (&stream).read(&mut buffer).unwrap() > 0 {}
    });
    (times * part.len()) as f64 / 1e9 / start.elapsed().as_secs_f64()
}
