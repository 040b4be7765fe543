//! Measures this library against the plainest code that does the same, in turn, in one run. What
//! counts is the ratio; 1.00 means equally fast. Run it with `cargo bench --bench echo`.
//!
//! | what | against what |
//! |---|---|
//! | the transform of text | [`str::to_uppercase`] |
//! | the transform of bytes that are not UTF-8 | the same, in a loop over `utf8_chunks` |
//! | the UDP server | a loop that receives and sends, without upper case |
//! | the UDP client | one connected socket, with nothing sent again |
//! | the TCP server | a thread for each connection that reads and writes, without upper case |
//!
//! All text is words in pseudo-random order. A processor learns one sentence by heart, and then
//! foresees every branch, which it cannot with real text.

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

/// How often each pair is measured. The medians count.
const TURNS: usize = 9;

/// Bytes of a long text: more than the caches nearest to the processor hold.
const LONG: usize = 1 << 20;

/// Bytes of a short sentence.
const SHORT: usize = 32;

/// Connections to a TCP server at once.
const CONNECTIONS: usize = 64;

/// No answer takes so long, unless something is broken.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Words in many languages, with the letters and the punctuation that are typical.
#[rustfmt::skip]
const LANGUAGES: &[(&str, &str)] = &[
    ("English", "Every morning, the old ferry carries sleepy passengers; his sister asks why ships float."),
    ("German", "Die alte Fähre trägt müde Fahrgäste über die Bucht; ein Junge zählt Möwen. Draußen ist es kühl."),
    ("French", "À moitié réveillé, un garçon mange un œuf ; sa sœur s’étonne : pourquoi ça flotte là où j’étais ?"),
    ("Polish", "Świeży chleb wiezie śpiących podróżnych przez zatokę. Nikt jej nie odpowiedział, więc są tędy."),
    ("Turkish", "Her sabah uykulu yolcuları körfezin karşısına taşır; kız kardeşi gemilerin nasıl yüzdüğünü soruyor."),
    ("Vietnamese", "Mỗi buổi sáng chiếc phà cũ chở thư; em gái hỏi vì sao tàu nổi được. Không ai trả lời, nên cô bé."),
    ("Russian", "Каждое утро старый паром везёт письма, хлеб и сонных пассажиров. Мальчик считает чаек, а его сестра."),
    ("Greek", "Κάθε πρωί το παλιό καράβι μεταφέρει γράμματα, ψωμί και επιβάτες. Ένα αγόρι μετράει γλάρους, η αδελφή."),
    ("ancient Greek", "Ἐν ἀρχῇ ἦν ὁ λόγος, καὶ ὁ λόγος ἦν πρὸς τὸν θεόν. Πάντα δι’ αὐτοῦ ἐγένετο, καὶ χωρὶς οὐδὲ ἕν."),
    ("Korean", "매일 아침 낡은 나룻배가 편지와 빵, 그리고 졸린 손님들을 싣고 만을 건넌다. 소년은 갈매기를 세고."),
    ("Arabic", "كل صباح تحمل العبّارة القديمة الرسائل والخبز والركاب النائمين عبر الخليج. يعدّ ولد طيور النورس."),
];

fn main() {
    println!(
        "{:<40}{:>8}{:>8}{:>7}  the other",
        "", "ours", "other", "ratio"
    );
    transform();
    over_udp();
    over_tcp();
}

fn transform() {
    let mut texts: Vec<(&str, String)> = Vec::new();
    let mut words_of_all = Vec::new();
    for (name, words) in LANGUAGES {
        texts.push((name, long_text(words)));
        words_of_all.push(*words);
    }
    texts.push(("mixed", long_text(&words_of_all.join(" "))));

    for (name, text) in &texts {
        compare(
            &format!("{name}, long, GB/s"),
            text.len() as f64 / 1e9,
            || uppercase(text.as_bytes()),
            "str::to_uppercase",
            || text.to_uppercase(),
        );
    }
    let mut random = random();
    let bytes: Vec<u8> = (0..LONG).map(|_| random() as u8).collect();
    compare(
        "random bytes, long, GB/s",
        bytes.len() as f64 / 1e9,
        || uppercase(&bytes),
        "loop over utf8_chunks",
        || uppercase_of_chunks(&bytes),
    );
    for (name, text) in &texts {
        if !["English", "German", "Russian", "Korean", "mixed"].contains(name) {
            continue;
        }
        let sentences = pieces(text, SHORT);
        compare(
            &format!("{name}, {SHORT} bytes, million/s"),
            sentences.len() as f64 / 1e6,
            || for_each(&sentences, |sentence| uppercase(sentence.as_bytes())),
            "str::to_uppercase",
            || for_each(&sentences, str::to_uppercase),
        );
    }
}

fn over_udp() {
    let ours = udp_server();
    let bare = bare_udp_server();
    let english = long_text(LANGUAGES[0].1);
    for size in [SHORT, 1400] {
        let pieces = pieces(&english, size);
        let datagrams: Vec<&str> = pieces.into_iter().cycle().take(20_000).collect();
        compare(
            &format!("UDP server, {size} bytes, 1000/s"),
            datagrams.len() as f64 / 1e3,
            || send_datagrams(ours, &datagrams),
            "receive and send",
            || send_datagrams(bare, &datagrams),
        );
    }
    let sentences = &pieces(&english, SHORT)[..5_000];
    let mut client = udp::Client::new(&[ours], TIMEOUT, |_| {});
    let mut ask_client = |sentence: &str| client.ask(sentence.as_bytes()).unwrap();
    let socket = udp_socket(ours);
    let ask_socket = |sentence: &str| {
        socket.send(sentence.as_bytes()).unwrap();
        socket.recv(&mut [0; 2048]).unwrap()
    };
    compare(
        "UDP client, one at a time, 1000/s",
        sentences.len() as f64 / 1e3,
        || for_each(sentences, &mut ask_client),
        "one socket",
        || for_each(sentences, ask_socket),
    );
}

fn over_tcp() {
    let ours = tcp_server();
    let bare = bare_tcp_server();
    let other = "a thread for each";
    let english = long_text(LANGUAGES[0].1);
    let sentences = &pieces(&english, SHORT)[..500];
    compare(
        &format!("TCP server, {CONNECTIONS} connections, 1000/s"),
        (CONNECTIONS * sentences.len()) as f64 / 1e3,
        || ask_on_all_connections(ours, sentences),
        other,
        || ask_on_all_connections(bare, sentences),
    );
    compare(
        "connect, answer, close, 1000/s",
        sentences.len() as f64 / 1e3,
        || connect_for_each(ours, sentences),
        other,
        || connect_for_each(bare, sentences),
    );
    for (name, words) in &LANGUAGES[..2] {
        let text = long_text(words).repeat(64);
        compare(
            &format!("TCP stream, {name}, GB/s"),
            text.len() as f64 / 1e9,
            || stream(ours, text.as_bytes()),
            other,
            || stream(bare, text.as_bytes()),
        );
    }
}

/// Prints a line of the table: how much of `amount` is done in a second, and the median of the
/// ratios.
fn compare<T, U>(
    name: &str,
    amount: f64,
    mut ours: impl FnMut() -> T,
    other_name: &str,
    mut other: impl FnMut() -> U,
) {
    let mut our_speeds = Vec::new();
    let mut other_speeds = Vec::new();
    let mut ratios = Vec::new();
    for _ in 0..TURNS {
        let our_speed = amount / seconds(&mut ours);
        let other_speed = amount / seconds(&mut other);
        our_speeds.push(our_speed);
        other_speeds.push(other_speed);
        ratios.push(our_speed / other_speed);
    }
    let ours = median(our_speeds);
    let other = median(other_speeds);
    let ratio = median(ratios);
    println!("{name:<40}{ours:>8.2}{other:>8.2}{ratio:>7.2}  {other_name}");
}

fn seconds<T>(mut work: impl FnMut() -> T) -> f64 {
    let start = Instant::now();
    black_box(work());
    start.elapsed().as_secs_f64()
}

fn for_each<T>(sentences: &[&str], mut work: impl FnMut(&str) -> T) {
    for sentence in sentences {
        black_box(work(black_box(sentence)));
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The words in pseudo-random order.
fn long_text(words: &str) -> String {
    let words: Vec<&str> = words.split_whitespace().collect();
    let mut random = random();
    let mut text = String::new();
    while text.len() < LONG {
        text += words[random() as usize % words.len()];
        text += " ";
    }
    text
}

/// Cuts a text into pieces of `size` bytes, or of a little less where a character would be cut.
fn pieces(mut text: &str, size: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    while text.len() > size {
        let mut end = size;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        pieces.push(&text[..end]);
        text = &text[end..];
    }
    pieces
}

/// xorshift64 with a fixed seed: every run has the same texts.
fn random() -> impl FnMut() -> u32 {
    let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u32
    }
}

fn uppercase_of_chunks(bytes: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        output.extend_from_slice(chunk.valid().to_uppercase().as_bytes());
        output.extend_from_slice(chunk.invalid());
    }
    output
}

fn udp_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    udp::serve(socket, |_| {}).unwrap();
    address
}

fn bare_udp_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = vec![0; 65_535];
        loop {
            let (size, peer) = socket.recv_from(&mut buffer).unwrap();
            socket.send_to(&buffer[..size], peer).unwrap();
        }
    });
    address
}

fn udp_socket(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    socket
}

/// Sends all datagrams, with 16 on their way. With many more, the system would drop some.
fn send_datagrams(server: SocketAddr, datagrams: &[&str]) {
    let socket = udp_socket(server);
    let mut buffer = [0; 2048];
    for (count, datagram) in datagrams.iter().enumerate() {
        socket.send(datagram.as_bytes()).unwrap();
        if count >= 16 {
            socket.recv(&mut buffer).unwrap();
        }
    }
    for _ in 0..16 {
        socket.recv(&mut buffer).unwrap();
    }
}

fn tcp_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // A few more threads than connections: those of the last turn may still be closing.
    tcp::serve(listener, CONNECTIONS + 6, TIMEOUT, |_| {}).unwrap();
    address
}

fn bare_tcp_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        loop {
            let (mut connection, _) = listener.accept().unwrap();
            connection.set_nodelay(true).unwrap();
            thread::spawn(move || {
                let mut buffer = vec![0; 65_536];
                while let Ok(size @ 1..) = connection.read(&mut buffer) {
                    connection.write_all(&buffer[..size]).unwrap();
                }
            });
        }
    });
    address
}

fn tcp_connection(server: SocketAddr) -> TcpStream {
    let connection = TcpStream::connect(server).unwrap();
    connection.set_nodelay(true).unwrap();
    connection.set_read_timeout(Some(TIMEOUT)).unwrap();
    connection
}

/// Sends each sentence on all connections, and then reads the answers.
fn ask_on_all_connections(server: SocketAddr, sentences: &[&str]) {
    let mut connections: Vec<TcpStream> =
        (0..CONNECTIONS).map(|_| tcp_connection(server)).collect();
    for sentence in sentences {
        for connection in &mut connections {
            connection.write_all(sentence.as_bytes()).unwrap();
        }
        for connection in &mut connections {
            connection.read_exact(&mut [0; SHORT]).unwrap();
        }
    }
}

fn connect_for_each(server: SocketAddr, sentences: &[&str]) {
    for sentence in sentences {
        let mut connection = tcp_connection(server);
        connection.write_all(sentence.as_bytes()).unwrap();
        connection.read_exact(&mut [0; SHORT]).unwrap();
    }
}

/// Sends and receives on one connection, both at once.
fn stream(server: SocketAddr, text: &[u8]) {
    let connection = tcp_connection(server);
    thread::scope(|scope| {
        scope.spawn(|| {
            (&connection).write_all(text).unwrap();
            connection.shutdown(Shutdown::Write).unwrap();
        });
        let mut buffer = vec![0; 1 << 18];
        while (&connection).read(&mut buffer).unwrap() > 0 {}
    });
}
