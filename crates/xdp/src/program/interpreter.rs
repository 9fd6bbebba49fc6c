//! Runs the few instructions of BPF that programs of this crate have, on one frame.
//!
//! Every load is checked against the frame and against the context, and nothing may be read
//! before it was written, so that a program that reads beyond a frame fails here, too, not
//! only in the verifier of a kernel.

use super::assembler::{
    ADD, AND, CALL, COPY, EXIT, Instruction, JUMP, JUMP_IF_AT_LEAST, JUMP_IF_EQUAL,
    JUMP_IF_GREATER, JUMP_UNLESS_EQUAL, LOAD_BYTE, LOAD_HALF, LOAD_WIDE, LOAD_WORD, SET,
};
use super::{REDIRECT_MAP, XDP_PASS};

/// What `bpf_redirect_map` returns if there is a socket.
pub(super) const XDP_REDIRECT: u64 = 4;

/// Where things are.
const CONTEXT: u64 = 1 << 40;
const FRAME: u64 = 1 << 20;
const MAP: u64 = 1 << 50;

/// Runs a program on a frame that arrived on `queue`; returns its return code. `queues` is
/// the number of queues with a socket.
pub(super) fn run(program: &[u64], map: i32, frame: &[u8], queue: u32, queues: u32) -> u64 {
    let mut registers: [Option<u64>; 10] = [None; 10];
    registers[1] = Some(CONTEXT);
    let mut next = 0;
    // Jumps go forward, so each instruction runs at most once.
    for _ in 0..program.len() {
        let instruction = Instruction::decode(program[next]);
        next += 1;
        let Instruction {
            operation,
            destination,
            source,
            offset,
            immediate,
        } = instruction;
        let (to, from) = (usize::from(destination), usize::from(source));
        let read = |register: usize| registers[register].expect("it was written before");
        // Immediates are extended with their sign.
        let extended = i64::from(immediate) as u64;
        let jumps = match operation {
            LOAD_WORD | LOAD_HALF | LOAD_BYTE => {
                let address = read(from).wrapping_add(i64::from(offset) as u64);
                let length = match operation {
                    LOAD_WORD => 4,
                    LOAD_HALF => 2,
                    _ => 1,
                };
                registers[to] = Some(load(frame, queue, address, length));
                false
            }
            LOAD_WIDE => {
                assert_eq!((source, immediate), (1, map), "the map's descriptor");
                assert_eq!(program[next], 0);
                next += 1;
                registers[to] = Some(MAP);
                false
            }
            COPY => {
                registers[to] = Some(read(from));
                false
            }
            SET => {
                registers[to] = Some(extended);
                false
            }
            ADD => {
                registers[to] = Some(read(to).wrapping_add(extended));
                false
            }
            AND => {
                registers[to] = Some(u64::from(read(to) as u32 & immediate as u32));
                false
            }
            JUMP => true,
            JUMP_IF_EQUAL => read(to) as u32 == immediate as u32,
            JUMP_UNLESS_EQUAL => read(to) as u32 != immediate as u32,
            JUMP_IF_GREATER => read(to) > read(from),
            JUMP_IF_AT_LEAST => read(to) >= read(from),
            CALL => {
                assert_eq!(immediate, REDIRECT_MAP);
                let arguments = [read(1), read(2), read(3)];
                assert_eq!(arguments, [MAP, queue.into(), XDP_PASS as u64]);
                let result = if queue < queues {
                    XDP_REDIRECT
                } else {
                    XDP_PASS as u64
                };
                registers[..6].fill(None);
                registers[0] = Some(result);
                false
            }
            EXIT => return read(0),
            _ => panic!("an operation that no program has: {operation:#x}"),
        };
        if jumps {
            assert!(offset >= 0, "jumps go forward");
            next += usize::from(offset as u16);
        }
    }
    panic!("the program does not end");
}

/// Loads from the context or the frame.
fn load(frame: &[u8], queue: u32, address: u64, length: usize) -> u64 {
    if address >= CONTEXT {
        assert_eq!(length, 4);
        return match address - CONTEXT {
            0 => FRAME,
            4 => FRAME + frame.len() as u64,
            16 => queue.into(),
            other => panic!("offset {other} of the context"),
        };
    }
    let start = usize::try_from(address - FRAME).unwrap();
    let bytes = &frame[start..start + length];
    match *bytes {
        [a] => a.into(),
        [a, b] => u16::from_ne_bytes([a, b]).into(),
        [a, b, c, d] => u32::from_ne_bytes([a, b, c, d]).into(),
        _ => unreachable!("the lengths of loads"),
    }
}
