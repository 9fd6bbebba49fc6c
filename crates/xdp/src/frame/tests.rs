//! Requests and answers, compared with frames that are built here field by field.

use super::*;

/// A frame, in fields that a test can change.
#[derive(Debug, Clone)]
struct Fields {
    tag: Option<u16>,
    source: SocketAddr,
    destination: SocketAddr,
    payload: Vec<u8>,
    padding: usize,
}

fn fields(random: &mut fastrand::Rng) -> Fields {
    let ipv4 = random.bool();
    let mut address = |number: u16| -> IpAddr {
        if ipv4 {
            Ipv4Addr::from([192, 0, random.u8(..), number as u8]).into()
        } else {
            Ipv6Addr::from([0x2001, 0xdb8, random.u16(..), 0, 0, 0, 0, number]).into()
        }
    };
    let (source, destination) = (address(1), address(2));
    Fields {
        tag: random.bool().then(|| random.u16(..)),
        source: SocketAddr::new(source, random.u16(..)),
        destination: SocketAddr::new(destination, random.u16(1..)),
        payload: (0..random.usize(..300)).map(|_| random.u8(..)).collect(),
        padding: random.usize(..60),
    }
}

/// The sum in one's complement, as the RFCs define it.
fn sum(parts: &[&[u8]]) -> u16 {
    let bytes = parts.concat();
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        let low = pair.get(1).copied().unwrap_or(0);
        sum += u32::from(u16::from_be_bytes([pair[0], low]));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

impl Fields {
    fn pseudo_sum(&self) -> u16 {
        let length = (8 + self.payload.len() as u16).to_be_bytes();
        let (source, destination) = (octets(self.source.ip()), octets(self.destination.ip()));
        sum(&[&source, &destination, &length, &[0, 17]])
    }

    /// The frame, whose UDP checksum is what `checksum` makes of the valid one.
    fn build(&self, checksum: impl Fn(u16) -> u16) -> Vec<u8> {
        let mut datagram = self.source.port().to_be_bytes().to_vec();
        datagram.extend(self.destination.port().to_be_bytes());
        datagram.extend((8 + self.payload.len() as u16).to_be_bytes());
        datagram.extend([0, 0]);
        datagram.extend(&self.payload);
        let whole = sum(&[&self.pseudo_sum().to_be_bytes(), &datagram]);
        let valid = if whole == 0xffff { 0xffff } else { !whole };
        datagram[6..8].copy_from_slice(&checksum(valid).to_be_bytes());

        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        if let Some(tag) = self.tag {
            frame.extend([0x81, 0x00]);
            frame.extend(tag.to_be_bytes());
        }
        let (source, destination) = (octets(self.source.ip()), octets(self.destination.ip()));
        if self.source.is_ipv4() {
            let length = (20 + datagram.len() as u16).to_be_bytes();
            let mut header = vec![0x45, 0x28, length[0], length[1], 7, 7, 0x40, 0, 9, 17, 0, 0];
            header.extend(source);
            header.extend(destination);
            let checksum = !sum(&[&header]);
            header[10..12].copy_from_slice(&checksum.to_be_bytes());
            frame.extend([8, 0]);
            frame.extend(header);
        } else {
            let length = (datagram.len() as u16).to_be_bytes();
            frame.extend([0x86, 0xdd, 0x6a, 1, 2, 3, length[0], length[1], 17, 9]);
            frame.extend(source);
            frame.extend(destination);
        }
        frame.extend(datagram);
        frame.extend(vec![0xaa; self.padding]);
        frame
    }
}

#[test]
fn requests_are_read_and_answered() {
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..20_000 {
        let fields = fields(&mut random);
        let frame = fields.build(|valid| valid);
        let request = Request::parse(&frame).unwrap();
        assert_eq!(request.source, fields.source);
        assert_eq!(request.destination, fields.destination);
        assert_eq!(frame[request.payload()], fields.payload);

        let mut answer = vec![0x55; 2048];
        let payload: Vec<u8> = (0..random.usize(..1400)).map(|_| random.u8(..)).collect();
        let start = request.headers_length();
        answer[start..start + payload.len()].copy_from_slice(&payload);
        let length = request
            .write_answer(&frame, &mut answer, payload.len())
            .unwrap();
        assert_eq!(answer[length..].iter().position(|byte| *byte != 0x55), None);
        let answer = &answer[..length];

        // The answer is a request in the other direction.
        let back = Request::parse(answer).unwrap();
        assert_eq!(back.source, fields.destination);
        assert_eq!(back.destination, fields.source);
        assert_eq!(answer[back.payload()], payload);
        assert_eq!(answer[..6], frame[6..12]);
        assert_eq!(answer[6..12], frame[..6]);
        let link = if fields.tag.is_some() { 18 } else { 14 };
        assert_eq!(answer[12..link], frame[12..link]);
        assert_eq!(request.packet_length(payload.len()), length - link);
        // Its checksum is a whole one.
        let udp = &answer[start - 8..];
        let length = (udp.len() as u16).to_be_bytes();
        let addresses = [octets(back.source.ip()), octets(back.destination.ip())].concat();
        assert_eq!(sum(&[&addresses, &length, &[0, 17], udp]), 0xffff);
        assert_ne!(udp[6..8], [0, 0]);
    }
}

#[test]
fn the_checksum_zero_is_sent_as_ones() {
    let mut random = fastrand::Rng::with_seed(2);
    let mut fields = fields(&mut random);
    fields.payload = vec![0; 2];
    let frame = fields.build(|valid| valid);
    let request = Request::parse(&frame).unwrap();
    let mut answer = vec![0; 200];
    let start = request.headers_length();
    // One of these makes the sum of the rest zero.
    let mut found = 0;
    for payload in 0..=u16::MAX {
        answer[start..start + 2].copy_from_slice(&payload.to_be_bytes());
        let length = request.write_answer(&frame, &mut answer, 2).unwrap();
        let checksum = &answer[start - 2..start];
        assert_ne!(checksum, [0, 0]);
        if checksum == [0xff, 0xff] {
            found += 1;
            assert!(Request::parse(&answer[..length]).is_ok());
        }
    }
    assert!(found > 0);
}

#[test]
fn checksums_are_whole_or_partial_or_absent() {
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..5_000 {
        let fields = fields(&mut random);
        let partial = fields.pseudo_sum();
        assert!(Request::parse(&fields.build(|_| partial)).is_ok());
        let absent = Request::parse(&fields.build(|_| 0));
        assert_eq!(absent.is_ok(), fields.source.is_ipv4());
        assert!(absent.is_ok() || absent == Err(Fault::Checksum));
        let wrong = random.u16(1..);
        let is_other_valid = |valid| wrong == valid || wrong == partial;
        let frame = fields.build(|valid| if is_other_valid(valid) { valid } else { wrong });
        let is_valid = fields.build(|valid| valid) == frame;
        let expected = if is_valid {
            None
        } else {
            Some(Fault::Checksum)
        };
        assert_eq!(Request::parse(&frame).err(), expected);
    }
}

#[test]
fn every_damaged_bit_and_every_length_is_noticed_or_harmless() {
    let mut random = fastrand::Rng::with_seed(4);
    for _ in 0..60 {
        let fields = fields(&mut random);
        let frame = fields.build(|valid| valid);
        let whole = Request::parse(&frame).unwrap();
        let end = whole.payload().end;
        for length in 0..frame.len() {
            let cut = Request::parse(&frame[..length]);
            assert_eq!(cut.is_ok(), length >= end, "{length} of {end}");
        }
        for bit in 0..frame.len() * 8 {
            let mut frame = frame.clone();
            frame[bit / 8] ^= 1 << (bit % 8);
            let Ok(request) = Request::parse(&frame) else {
                continue;
            };
            // What no checksum covers: the Ethernet header, padding, and in IPv6 the class,
            // the flow label, the hop limit, and the length, which UDP has as well.
            let link = if fields.tag.is_some() { 18 } else { 14 };
            let is_uncovered = bit / 8 < link
                || bit / 8 >= end
                || !fields.source.is_ipv4() && [0, 1, 2, 3, 4, 5, 7].contains(&(bit / 8 - link));
            assert!(is_uncovered, "bit {bit} of {frame:x?}");
            let same = (request.source, request.destination, request.payload().len());
            assert_eq!(
                same,
                (whole.source, whole.destination, whole.payload().len())
            );
        }
    }
}

#[test]
fn lengths_have_to_agree() {
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..2_000 {
        let mut fields = fields(&mut random);
        fields.padding = 40;
        let frame = fields.build(|valid| valid);
        let request = Request::parse(&frame).unwrap();
        let start = request.headers_length();
        // Without a checksum, nothing but lengths is wrong.
        if !fields.source.is_ipv4() {
            continue;
        }
        for length in [0, 7, 8, 9, fields.payload.len() as u16 + 9, u16::MAX] {
            let mut frame = frame.clone();
            frame[start - 4..start - 2].copy_from_slice(&length.to_be_bytes());
            frame[start - 2..start].fill(0);
            // A datagram may end before its packet, and not after.
            let fits = (8..=8 + fields.payload.len()).contains(&usize::from(length));
            let parsed = Request::parse(&frame);
            assert_eq!(parsed.is_ok(), fits, "{length}");
            if let Ok(request) = parsed {
                assert_eq!(request.payload().len(), usize::from(length) - 8);
            }
        }
    }
}

#[test]
fn sources_that_no_host_has_are_refused() {
    let mut random = fastrand::Rng::with_seed(6);
    for (source, destination) in [
        ("0.0.0.0", "192.0.2.1"),
        ("0.1.2.3", "192.0.2.1"),
        ("127.0.0.1", "192.0.2.1"),
        ("224.0.0.1", "192.0.2.1"),
        ("255.255.255.255", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.1"),
        ("::", "2001:db8::1"),
        ("::1", "2001:db8::1"),
        ("ff02::1", "2001:db8::1"),
        ("::ffff:192.0.2.7", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
    ] {
        let mut fields = fields(&mut random);
        fields.source = SocketAddr::new(source.parse().unwrap(), 1);
        fields.destination = SocketAddr::new(destination.parse().unwrap(), 1);
        let frame = fields.build(|valid| valid);
        assert_eq!(Request::parse(&frame), Err(Fault::Source), "{source}");
    }
    let mut frame = fields(&mut random).build(|valid| valid);
    frame[6] |= 1;
    assert_eq!(
        Request::parse(&frame),
        Err(Fault::Source),
        "a group as sender"
    );
}

#[test]
fn answers_that_do_not_fit_are_not_written() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..200 {
        let fields = fields(&mut random);
        let frame = fields.build(|valid| valid);
        let request = Request::parse(&frame).unwrap();
        let headers = request.headers_length();
        let mut answer = vec![0; headers + 100];
        assert_eq!(
            request.write_answer(&frame, &mut answer, 100),
            Some(headers + 100)
        );
        for length in [101, 65_508, 65_536, usize::MAX] {
            assert_eq!(request.write_answer(&frame, &mut answer, length), None);
        }
        let mut large = vec![0; 70_000];
        assert_eq!(request.write_answer(&frame, &mut large, 65_528), None);
        assert_eq!(request.write_answer(&frame[..13], &mut answer, 1), None);
    }
}
