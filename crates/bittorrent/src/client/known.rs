//! Codes that clients use in their peer ids.

use super::Notation::{self, Digits, Pairs, Transmission};

/// Codes in `-XX1234-`.
pub(super) const AZUREUS_CLIENTS: &[([u8; 2], &str, Notation)] = &[
    (*b"AG", "Ares", Digits),
    (*b"AZ", "Vuze", Digits),
    (*b"BC", "BitComet", Pairs),
    (*b"BE", "BareTorrent", Digits),
    (*b"BF", "Bitflu", Digits),
    (*b"BG", "BTG", Digits),
    (*b"BI", "BiglyBT", Digits),
    (*b"BR", "BitRocket", Digits),
    (*b"BT", "BitTorrent", Digits),
    (*b"CD", "Enhanced CTorrent", Pairs),
    (*b"CT", "CTorrent", Digits),
    (*b"DE", "Deluge", Digits),
    (*b"ES", "Electric Sheep", Digits),
    (*b"FD", "Free Download Manager", Digits),
    (*b"FG", "FlashGet", Pairs),
    (*b"FW", "FrostWire", Digits),
    (*b"FX", "Freebox", Digits),
    (*b"GT", "anacrolix/torrent", Digits),
    (*b"HL", "Halite", Digits),
    (*b"HN", "Hydranode", Digits),
    (*b"KG", "KGet", Digits),
    (*b"KT", "KTorrent", Digits),
    (*b"LP", "Lphant", Digits),
    (*b"LT", "libtorrent (Rasterbar)", Digits),
    (*b"LW", "LimeWire", Digits),
    (*b"MG", "MediaGet", Digits),
    (*b"MO", "MonoTorrent", Digits),
    (*b"MR", "Miro", Digits),
    (*b"NX", "Net Transport", Digits),
    (*b"OS", "OneSwarm", Digits),
    (*b"PD", "Pando", Digits),
    (*b"PI", "PicoTorrent", Digits),
    (*b"QD", "QQDownload", Digits),
    (*b"QT", "Qt Torrent example", Digits),
    (*b"RZ", "RezTorrent", Digits),
    (*b"SB", "Swiftbit", Digits),
    (*b"SD", "Xunlei", Digits),
    (*b"SP", "BitSpirit", Digits),
    (*b"SZ", "Shareaza", Digits),
    (*b"TL", "Tribler", Digits),
    (*b"TR", "Transmission", Transmission),
    (*b"TT", "TuoTu", Digits),
    (*b"UE", "µTorrent Embedded", Digits),
    (*b"UM", "µTorrent for Mac", Digits),
    (*b"UT", "µTorrent", Digits),
    (*b"UW", "µTorrent Web", Digits),
    (*b"VG", "Vagaa", Digits),
    (*b"WD", "WebTorrent Desktop", Pairs),
    (*b"WT", "BitLet", Digits),
    (*b"WW", "WebTorrent", Pairs),
    (*b"XL", "Xunlei", Digits),
    (*b"XT", "XanTorrent", Digits),
    (*b"lt", "libTorrent (rTorrent)", Digits),
    (*b"qB", "qBittorrent", Digits),
    (*b"st", "SharkTorrent", Digits),
];

/// Codes before numbers between dashes.
pub(super) const DASHED_CLIENTS: &[(&[u8], &str)] = &[
    (b"A2-", "aria2"),
    // The first implementation, which has the same name as the protocol.
    (b"M", "BitTorrent"),
];

/// Codes in `T03I-----`.
pub(super) const SHADOW_CLIENTS: &[(u8, &str)] = &[
    (b'A', "ABC"),
    (b'Q', "BTQueue"),
    (b'R', "Tribler"),
    (b'S', "Shadow"),
    (b'T', "BitTornado"),
    (b'U', "UPnP NAT BitTorrent"),
];
