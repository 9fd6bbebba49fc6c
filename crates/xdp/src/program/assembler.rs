//! Instructions of BPF with jumps to labels.
//!
//! The encoding is that of RFC 9669, section 3.1: a byte with the operation, two registers
//! of four bits, an offset of 16 bits and an immediate of 32, in the order of bytes of the
//! machine. Jumps go forward only, so every program ends.

use std::os::fd::RawFd;

/// A register of 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Register {
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
}

/// How many bytes are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    Word,
    Half,
    Byte,
}

/// A place in the program to which it can jump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label(usize);

// Operations: a class in the three low bits, and what is done.
pub(super) const LOAD_WORD: u8 = 0x61;
pub(super) const LOAD_HALF: u8 = 0x69;
pub(super) const LOAD_BYTE: u8 = 0x71;
pub(super) const LOAD_WIDE: u8 = 0x18;
pub(super) const COPY: u8 = 0xbf;
pub(super) const SET: u8 = 0xb7;
pub(super) const ADD: u8 = 0x07;
/// Of the low 32 bits; the others become 0.
pub(super) const AND: u8 = 0x54;
pub(super) const JUMP: u8 = 0x05;
/// These two compare the low 32 bits with the immediate.
pub(super) const JUMP_IF_EQUAL: u8 = 0x16;
pub(super) const JUMP_UNLESS_EQUAL: u8 = 0x56;
/// These two compare registers, unsigned.
pub(super) const JUMP_IF_GREATER: u8 = 0x2d;
pub(super) const JUMP_IF_AT_LEAST: u8 = 0x3d;
pub(super) const CALL: u8 = 0x85;
pub(super) const EXIT: u8 = 0x95;

/// The source "register" of [`LOAD_WIDE`] that says that the immediate is the descriptor of
/// a map, `BPF_PSEUDO_MAP_FD`.
const MAP_DESCRIPTOR: u8 = 1;

/// One instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) operation: u8,
    pub(super) destination: u8,
    pub(super) source: u8,
    pub(super) offset: i16,
    pub(super) immediate: i32,
}

impl Instruction {
    fn encode(self) -> u64 {
        // The registers are bit fields, whose order follows that of bytes.
        let registers = if cfg!(target_endian = "little") {
            self.destination | self.source << 4
        } else {
            self.destination << 4 | self.source
        };
        let [o0, o1] = self.offset.to_ne_bytes();
        let [i0, i1, i2, i3] = self.immediate.to_ne_bytes();
        u64::from_ne_bytes([self.operation, registers, o0, o1, i0, i1, i2, i3])
    }

    /// The inverse of [`Self::encode`].
    #[cfg(test)]
    pub(super) fn decode(encoded: u64) -> Self {
        let [operation, registers, o0, o1, i0, i1, i2, i3] = encoded.to_ne_bytes();
        let (low, high) = (registers & 15, registers >> 4);
        let (destination, source) = if cfg!(target_endian = "little") {
            (low, high)
        } else {
            (high, low)
        };
        Self {
            operation,
            destination,
            source,
            offset: i16::from_ne_bytes([o0, o1]),
            immediate: i32::from_ne_bytes([i0, i1, i2, i3]),
        }
    }
}

/// A program that is being written.
pub(super) struct Assembler {
    instructions: Vec<Instruction>,
    /// The instruction at each label that was placed.
    labels: Vec<Option<usize>>,
    /// Jumps, and where they go.
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    pub(super) fn new() -> Self {
        Self {
            instructions: Vec::new(),
            labels: Vec::new(),
            jumps: Vec::new(),
        }
    }

    /// A label that is to be placed later.
    pub(super) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Places a label before the next instruction.
    pub(super) fn place(&mut self, label: Label) {
        self.labels[label.0] = Some(self.instructions.len());
    }

    /// Loads from memory; other bits become 0.
    pub(super) fn load(&mut self, width: Width, to: Register, from: Register, offset: i16) {
        let operation = match width {
            Width::Word => LOAD_WORD,
            Width::Half => LOAD_HALF,
            Width::Byte => LOAD_BYTE,
        };
        self.push(operation, to as u8, from as u8, offset, 0);
    }

    /// Loads the address of a map.
    pub(super) fn load_map(&mut self, to: Register, map: RawFd) {
        self.push(LOAD_WIDE, to as u8, MAP_DESCRIPTOR, 0, map);
        // The upper half of the 64 bits.
        self.push(0, 0, 0, 0, 0);
    }

    pub(super) fn copy(&mut self, to: Register, from: Register) {
        self.push(COPY, to as u8, from as u8, 0, 0);
    }

    pub(super) fn set(&mut self, register: Register, value: i32) {
        self.push(SET, register as u8, 0, 0, value);
    }

    pub(super) fn add(&mut self, register: Register, value: i32) {
        self.push(ADD, register as u8, 0, 0, value);
    }

    pub(super) fn and(&mut self, register: Register, value: i32) {
        self.push(AND, register as u8, 0, 0, value);
    }

    pub(super) fn jump(&mut self, label: Label) {
        self.push_jump(JUMP, 0, 0, 0, label);
    }

    pub(super) fn jump_if_equal(&mut self, register: Register, value: i32, label: Label) {
        self.push_jump(JUMP_IF_EQUAL, register as u8, 0, value, label);
    }

    pub(super) fn jump_unless_equal(&mut self, register: Register, value: i32, label: Label) {
        self.push_jump(JUMP_UNLESS_EQUAL, register as u8, 0, value, label);
    }

    pub(super) fn jump_if_greater(&mut self, left: Register, right: Register, label: Label) {
        self.push_jump(JUMP_IF_GREATER, left as u8, right as u8, 0, label);
    }

    pub(super) fn jump_if_at_least(&mut self, left: Register, right: Register, label: Label) {
        self.push_jump(JUMP_IF_AT_LEAST, left as u8, right as u8, 0, label);
    }

    pub(super) fn call(&mut self, helper: i32) {
        self.push(CALL, 0, 0, 0, helper);
    }

    pub(super) fn exit(&mut self) {
        self.push(EXIT, 0, 0, 0, 0);
    }

    /// The encoded instructions.
    pub(super) fn finish(mut self) -> Vec<u64> {
        for (from, label) in self.jumps {
            // Counted from the next instruction. Programs are short: `MAX_TARGETS`.
            let to = self.labels[label.0].expect("every label is placed");
            let distance = to - (from + 1);
            self.instructions[from].offset = distance as i16;
        }
        let encoded = self.instructions.into_iter().map(Instruction::encode);
        encoded.collect()
    }

    fn push(&mut self, operation: u8, destination: u8, source: u8, offset: i16, immediate: i32) {
        self.instructions.push(Instruction {
            operation,
            destination,
            source,
            offset,
            immediate,
        });
    }

    fn push_jump(&mut self, operation: u8, left: u8, right: u8, value: i32, label: Label) {
        self.jumps.push((self.instructions.len(), label));
        self.push(operation, left, right, 0, value);
    }
}
