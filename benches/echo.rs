//! Each thing beside its own limit, in turn, in one run: what counts is the ratio.
//!
//! Run with `cargo bench --bench echo`. The transform stands beside `str::to_uppercase`, the two servers beside the same
//! loops without a transform. All text is varied: the words of [`LANGUAGES`] in pseudo-random order. A processor learns
//! one sentence by heart, and then foresees every branch.

#![allow(
    clippy::cast_precision_loss,
    reason = "sizes and counts here are far below 2^52"
)]

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::num::NonZero;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use uppercase_echo::{tcp, udp, uppercase};

/// Turns of each pair, of which the median counts.
const TURNS: usize = 9;

/// Bytes of each text: more than the caches nearest to the processor hold.
const TEXT_SIZE: usize = 1 << 20;

/// A sentence, for rows in which the network takes nearly all of the time.
const SENTENCE: &[u8; 32] = b"hello, this is thirty-two bytes.";

/// Connections to a TCP server at once.
const CONNECTIONS: usize = 64;

/// The threads of a TCP server: a few more, because the last turn's connections may still be closing.
const THREADS: usize = CONNECTIONS + 6;

fn main() {
    transform();
    over_udp();
    over_tcp();
}

fn transform() {
    heading("transform");
    for language in LANGUAGES {
        let text = language.text();
        row(
            &format!("{}, GB/s", language.name),
            "str::to_uppercase",
            || gigabytes_a_second(&text, || uppercase(text.as_bytes())),
            || gigabytes_a_second(&text, || text.to_uppercase()),
        );
    }
    let english = ENGLISH.text();
    row(
        "English, GB/s",
        "copy",
        || gigabytes_a_second(&english, || uppercase(english.as_bytes())),
        || gigabytes_a_second(&english, || english.clone()),
    );
    let mut random = Random::new();
    let bytes: Vec<u8> = (0..TEXT_SIZE).map(|_| random.next() as u8).collect();
    row(
        "random bytes, GB/s",
        "utf8_chunks",
        || gigabytes_a_second(&bytes, || uppercase(&bytes)),
        || gigabytes_a_second(&bytes, || utf8_chunks(&bytes)),
    );
    for language in [&ENGLISH, &GERMAN, &KOREAN] {
        let text = language.text();
        let sentences = pieces(&text, 32);
        row(
            &format!("{}, 32 bytes, million/s", language.name),
            "str::to_uppercase",
            || millions_a_second(&sentences, |sentence| uppercase(sentence.as_bytes())),
            || millions_a_second(&sentences, str::to_uppercase),
        );
    }
}

fn over_udp() {
    heading("UDP");
    let ours = udp_ours();
    let bare = udp_bare();
    for size in [32, 1400] {
        row(
            &format!("{size} bytes, 16 on their way, 1000/s"),
            "bare loop",
            || udp_load(ours, size),
            || udp_load(bare, size),
        );
    }
    let mut client = udp::Client::new(&[ours], Duration::from_secs(5));
    let socket = udp_connect(ours);
    row(
        "client, one at a time, 1000/s",
        "one socket",
        || thousands_a_second(|| client.ask(SENTENCE, |_| {}).unwrap().len()),
        || {
            thousands_a_second(|| {
                socket.send(SENTENCE).unwrap();
                socket.recv(&mut [0; 2048]).unwrap()
            })
        },
    );
}

fn over_tcp() {
    heading("TCP");
    let ours = tcp_ours();
    let bare = tcp_bare();
    let spawning = tcp_spawning();
    row(
        "32 bytes, 64 connections, 1000/s",
        "bare loop",
        || ping_pong(ours),
        || ping_pong(bare),
    );
    row(
        "connect, answer, close, 1000/s",
        "spawn for each",
        || connects(ours),
        || connects(spawning),
    );
    for language in [&ENGLISH, &GERMAN, &RUSSIAN, &GREEK, &KOREAN] {
        let text = language.text();
        row(
            &format!("stream, {}, GB/s", language.name),
            "bare loop",
            || stream(ours, text.as_bytes()),
            || stream(bare, text.as_bytes()),
        );
    }
}

fn heading(what: &str) {
    println!(
        "\n{what:<36}{:>10}{:>10}{:>8}  the other",
        "ours", "other", "ratio"
    );
}

/// Prints the medians of `ours` and of the `other`, run in turn, and the median of their ratios.
fn row(
    name: &str,
    other_name: &str,
    mut ours: impl FnMut() -> f64,
    mut other: impl FnMut() -> f64,
) {
    let mut our_turns = Vec::new();
    let mut other_turns = Vec::new();
    let mut ratios = Vec::new();
    for turn in 0..TURNS {
        let (our_turn, other_turn);
        // Neither always runs first.
        if turn % 2 == 0 {
            our_turn = ours();
            other_turn = other();
        } else {
            other_turn = other();
            our_turn = ours();
        }
        our_turns.push(our_turn);
        other_turns.push(other_turn);
        ratios.push(our_turn / other_turn);
    }
    let our_median = median(our_turns);
    let other_median = median(other_turns);
    let ratio = median(ratios);
    println!("{name:<36}{our_median:>10.2}{other_median:>10.2}{ratio:>8.2}  {other_name}");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Seconds that `count` calls take.
fn seconds<T>(count: u32, mut call: impl FnMut() -> T) -> f64 {
    let start = Instant::now();
    for _ in 0..count {
        black_box(call());
    }
    start.elapsed().as_secs_f64()
}

/// Millions of calls a second, of a call that takes some nanoseconds: one with each of the sentences.
fn millions_a_second<T>(sentences: &[&str], mut call: impl FnMut(&str) -> T) -> f64 {
    let start = Instant::now();
    for sentence in sentences {
        black_box(call(black_box(sentence)));
    }
    sentences.len() as f64 / 1e6 / start.elapsed().as_secs_f64()
}

/// Thousands of calls a second, of a call that takes some microseconds.
fn thousands_a_second<T>(call: impl FnMut() -> T) -> f64 {
    const COUNT: u32 = 5_000;
    f64::from(COUNT) / 1e3 / seconds(COUNT, call)
}

/// The speed of `call`, which converts `text`. It runs four times, since a first call may wait for memory.
fn gigabytes_a_second<T>(text: impl AsRef<[u8]>, call: impl FnMut() -> T) -> f64 {
    4.0 * text.as_ref().len() as f64 / 1e9 / seconds(4, call)
}

/// What the transform would be without its own code.
fn utf8_chunks(bytes: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        output.extend_from_slice(chunk.valid().to_uppercase().as_bytes());
        output.extend_from_slice(chunk.invalid());
    }
    output
}

/// Cuts a text into pieces of `size` bytes, or a little less where a character would be cut.
fn pieces(mut text: &str, size: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    while text.len() > size {
        let mut end = size;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let (piece, rest) = text.split_at(end);
        pieces.push(piece);
        text = rest;
    }
    pieces
}

/// xorshift64 with a fixed seed: every run has the same texts.
struct Random(u64);

impl Random {
    fn new() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }

    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u32
    }
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

fn udp_connect(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    socket
}

/// Thousands of answers a second, with 16 datagrams on their way.
fn udp_load(server: SocketAddr, size: usize) -> f64 {
    const COUNT: usize = 30_000;
    const OUTSTANDING: usize = 16;
    let socket = udp_connect(server);
    let text = ENGLISH.text();
    let mut datagrams = pieces(&text, size).into_iter().cycle();
    let mut buffer = [0; 2048];
    let start = Instant::now();
    for count in 0..COUNT + OUTSTANDING {
        if count >= OUTSTANDING {
            socket.recv(&mut buffer).unwrap();
        }
        if count < COUNT {
            let datagram = datagrams.next().unwrap();
            socket.send(datagram.as_bytes()).unwrap();
        }
    }
    COUNT as f64 / 1e3 / start.elapsed().as_secs_f64()
}

fn tcp_ours() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let threads = NonZero::new(THREADS).unwrap();
    tcp::serve(listener, threads, Duration::from_secs(300), |_| {}).unwrap();
    address
}

/// The same model of threads, without time limits and transform.
fn tcp_bare() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let listener = Arc::new(listener);
    for _ in 0..THREADS {
        let listener = Arc::clone(&listener);
        thread::spawn(move || {
            let mut buffer = vec![0; 65536];
            loop {
                let (socket, _) = listener.accept().unwrap();
                bare_echo(&socket, &mut buffer);
            }
        });
    }
    address
}

/// A thread for each connection, as most programs have it.
fn tcp_spawning() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        loop {
            let (socket, _) = listener.accept().unwrap();
            thread::spawn(move || bare_echo(&socket, &mut vec![0; 65536]));
        }
    });
    address
}

fn bare_echo(mut socket: &TcpStream, buffer: &mut [u8]) {
    socket.set_nodelay(true).unwrap();
    while let Ok(size @ 1..) = socket.read(buffer) {
        if socket.write_all(&buffer[..size]).is_err() {
            break;
        }
    }
}

fn tcp_connect(server: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(server).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    socket
}

/// Thousands of answers a second; each connection has one sentence on its way.
fn ping_pong(server: SocketAddr) -> f64 {
    const ROUNDS: usize = 400;
    let sockets: Vec<_> = (0..CONNECTIONS).map(|_| tcp_connect(server)).collect();
    let start = Instant::now();
    for _ in 0..ROUNDS {
        for mut socket in &sockets {
            socket.write_all(SENTENCE).unwrap();
        }
        for mut socket in &sockets {
            socket.read_exact(&mut [0; SENTENCE.len()]).unwrap();
        }
    }
    (CONNECTIONS * ROUNDS) as f64 / 1e3 / start.elapsed().as_secs_f64()
}

/// Thousands of connections a second, with one answer each.
fn connects(server: SocketAddr) -> f64 {
    const COUNT: u32 = 1000;
    let seconds = seconds(COUNT, || {
        let mut socket = tcp_connect(server);
        socket.write_all(SENTENCE).unwrap();
        socket.read_exact(&mut [0; SENTENCE.len()]).unwrap();
    });
    f64::from(COUNT) / 1e3 / seconds
}

/// GB/s through one connection, both ways at once.
fn stream(server: SocketAddr, text: &[u8]) -> f64 {
    const TIMES: usize = 64;
    let socket = tcp_connect(server);
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..TIMES {
                (&socket).write_all(text).unwrap();
            }
            socket.shutdown(Shutdown::Write).unwrap();
        });
        let mut buffer = vec![0; 1 << 18];
        while (&socket).read(&mut buffer).unwrap() > 0 {}
    });
    (TIMES * text.len()) as f64 / 1e9 / start.elapsed().as_secs_f64()
}

/// A language, or another kind of text.
struct Language {
    name: &'static str,
    /// What stands between two words.
    separator: &'static str,
    sentences: &'static str,
}

impl Language {
    /// The words of the sentences in pseudo-random order.
    fn text(&self) -> String {
        let words: Vec<&str> = self.sentences.split_whitespace().collect();
        let mut random = Random::new();
        let mut text = String::with_capacity(TEXT_SIZE + 64);
        while text.len() < TEXT_SIZE {
            text += words[random.next() as usize % words.len()];
            text += self.separator;
        }
        text
    }
}

const ENGLISH: Language = Language {
    name: "English",
    separator: " ",
    sentences: "Every morning the old ferry carries letters, bread and sleepy passengers across the bay. A boy \
         counts seagulls; his sister asks why ships float. Nobody answers her, so she throws an apple core \
         overboard and watches where it goes.",
};

const GERMAN: Language = Language {
    name: "German",
    separator: " ",
    sentences: "Jeden Morgen trägt die alte Fähre Briefe, Brötchen und müde Fahrgäste über die Bucht. Ein Junge \
         zählt Möwen; seine Schwester fragt, weshalb Schiffe schwimmen. Niemand weiß es, also wirft sie \
         einen Apfel ins grüne Wasser und hört, wie er plätschert. Draußen ist es kühl.",
};

const RUSSIAN: Language = Language {
    name: "Russian",
    separator: " ",
    sentences: "Каждое утро старый паром везёт письма, хлеб и сонных пассажиров через залив. Мальчик считает чаек, \
         а его сестра спрашивает, почему корабли не тонут. Никто ей не ответил, тогда она бросила огрызок \
         яблока в воду и смотрела, куда он плывёт. Потом все пили чай.",
};

const GREEK: Language = Language {
    name: "Greek",
    separator: " ",
    sentences: "Κάθε πρωί το παλιό καράβι μεταφέρει γράμματα, ψωμί και νυσταγμένους επιβάτες στην άλλη πλευρά του \
         κόλπου. Ένα αγόρι μετράει γλάρους, η αδελφή του ρωτά γιατί επιπλέουν τα πλοία. Κανείς δεν απάντησε, \
         κι έτσι πέταξε το μήλο στο νερό και κοίταζε πού πηγαίνει. Το μεσημέρι έφαγαν ψάρι.",
};

const KOREAN: Language = Language {
    name: "Korean",
    separator: " ",
    sentences: "매일 아침 낡은 나룻배가 편지와 빵, 그리고 졸린 손님들을 싣고 만을 건넌다. 소년은 갈매기를 세고 누이는 배가 \
         왜 뜨는지 묻는다. 아무도 대답하지 않자 누이는 사과 속을 물에 던지고 어디로 가는지 바라보았다.",
};

const LANGUAGES: &[Language] = &[
    ENGLISH,
    Language {
        name: "curly quotes",
        separator: " ",
        sentences: "“Every morning,” she said, “the old ferry’s late — isn’t it?” The captain’s answer: ‘We’ll wait \
         until everyone’s aboard…’ Nobody’s sister throws “apple cores” overboard – that’s why it floats.",
    },
    Language {
        name: "emoji in English",
        separator: " ",
        sentences: "good morning 😀 everybody, the ferry 🚢 is late again 😡 but coffee ☕ helps and the view 🌅 is \
         wonderful today ❤️ see you at lunch 👍🏽 bring bread 🍞 for the seagulls",
    },
    GERMAN,
    Language {
        name: "French, œ and ’",
        separator: " ",
        sentences: "Chaque matin le vieux bateau emporte des lettres, du pain et des voyageurs à moitié réveillés \
         jusqu’à l’autre côté. Un garçon mange un œuf, sa sœur s’étonne : pourquoi ça flotte ? Personne \
         n’a répondu, c’était trop tôt. Elle a jeté son goûter à la mer, le cœur léger, là où ça brûle.",
    },
    Language {
        name: "Polish",
        separator: " ",
        sentences: "Każdego ranka stary prom wiezie listy, świeży chleb i śpiących podróżnych przez zatokę. Chłopiec \
         liczy mewy, a jego siostra pyta, dlaczego statki pływają. Nikt jej nie odpowiedział, więc wrzuciła \
         ogryzek jabłka do wody i patrzyła, dokąd płynie. Później zjadła pączka z różą.",
    },
    Language {
        name: "Czech",
        separator: " ",
        sentences: "Každé ráno starý přívoz veze dopisy, čerstvý chléb a ospalé cestující přes záliv. Chlapec počítá \
         racky, jeho sestra se ptá, proč lodě plavou. Nikdo jí neodpověděl, a tak hodila ohryzek do vody \
         a dívala se, kam pluje. Později snědla koláč, ještě teplý, s tvarohem.",
    },
    Language {
        name: "Turkish",
        separator: " ",
        sentences: "Her sabah eski vapur mektupları, ekmeği ve uykulu yolcuları körfezin karşısına taşır. Bir çocuk \
         martıları sayıyor; kız kardeşi gemilerin nasıl yüzdüğünü soruyor. Kimse yanıt vermedi, o da elmanın \
         koçanını denize attı ve nereye gittiğine baktı. Öğleyin sıcak çorba içtiler.",
    },
    Language {
        name: "Vietnamese",
        separator: " ",
        sentences: "Mỗi buổi sáng chiếc phà cũ chở thư, bánh mì và những hành khách còn ngái ngủ qua vịnh. Một cậu bé \
         đếm chim hải âu; em gái hỏi vì sao tàu nổi được. Không ai trả lời, nên cô bé ném lõi táo xuống nước \
         rồi nhìn xem nó trôi về đâu. Buổi trưa họ ăn phở nóng ở chợ.",
    },
    RUSSIAN,
    Language {
        name: "Ukrainian",
        separator: " ",
        sentences: "Щоранку старий пором везе листи, хліб і сонних пасажирів через затоку. Хлопчик лічить чайок, а його \
         сестра питає, чому кораблі не тонуть. Ніхто їй не відповів, тож вона кинула недогризок яблука у воду \
         й дивилася, куди він пливе. На ґанку вже їли борщ, їхній улюблений.",
    },
    GREEK,
    Language {
        name: "Georgian",
        separator: " ",
        sentences: "ყოველ დილით ძველ ბორანს წერილები, პური და მძინარე მგზავრები ყურის მეორე მხარეს გადაჰყავს. ბიჭი \
         თოლიებს ითვლის, მისი და კი კითხულობს, რატომ ცურავს გემი. არავინ უპასუხა, ამიტომ ვაშლი წყალში \
         გადააგდო და უყურებდა, საით წავიდოდა.",
    },
    KOREAN,
    Language {
        name: "Japanese",
        separator: "",
        sentences: "毎朝、 古い 渡し船が 手紙と パンと 眠そうな 客を 乗せて 湾を 渡る。 少年は カモメを 数え、 妹は なぜ 船が \
         浮くのか たずねる。 だれも 答えないので、 妹は りんごの 芯を 水に 投げて、 どこへ 行くのか ながめていた。",
    },
    Language {
        name: "Chinese",
        separator: "",
        sentences: "每天 早晨， 旧 渡船 载着 信件、 面包 和 困倦的 乘客 穿过 海湾。 男孩 数着 海鸥， 妹妹 问 船 为什么 能 浮 \
         起来。 没有人 回答， 她 就 把 苹果核 扔进 水里， 看 它 漂到 哪里 去。",
    },
    Language {
        name: "Arabic",
        separator: " ",
        sentences: "كل صباح تحمل العبّارة القديمة الرسائل والخبز والركاب النائمين عبر الخليج. يعدّ ولد طيور النورس، وتسأل \
         أخته لماذا تطفو السفن. لم يجبها أحد، فرمت بقايا تفاحتها في الماء ونظرت إلى أين تذهب.",
    },
    Language {
        name: "Hindi",
        separator: " ",
        sentences: "हर सुबह पुरानी नाव चिट्ठियाँ, रोटी और उनींदे यात्री खाड़ी के पार ले जाती है। एक लड़का पक्षी गिनता है और उसकी बहन पूछती \
         है कि जहाज़ क्यों तैरते हैं। किसी ने उत्तर नहीं दिया, तो उसने सेब पानी में फेंक दिया।",
    },
    Language {
        name: "polytonic Greek",
        separator: " ",
        sentences: "Ἐν ἀρχῇ ἦν ὁ λόγος, καὶ ὁ λόγος ἦν πρὸς τὸν θεόν, καὶ θεὸς ἦν ὁ λόγος. Οὗτος ἦν ἐν ἀρχῇ πρὸς τὸν \
         θεόν. Πάντα δι’ αὐτοῦ ἐγένετο, καὶ χωρὶς αὐτοῦ ἐγένετο οὐδὲ ἕν ὃ γέγονεν.",
    },
    Language {
        name: "another script at every letter",
        separator: " ",
        sentences: "éдλ žжπ łюσ ñяω đбθ øгξ ůшψ ćиβ äлγ śкδ",
    },
];
