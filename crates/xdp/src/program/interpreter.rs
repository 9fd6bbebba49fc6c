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
    let mut machine = Machine {
        registers: [None; 10],
        map,
        frame,
        queue,
        queues,
    };
    machine.registers[1] = Some(CONTEXT);
    let mut next = 0;
    // Jumps go forward, so each instruction runs at most once.
    for _ in 0..program.len() {
        let instruction = Instruction::decode(program[next]);
        next += 1;
        match machine.execute(instruction) {
            Step::Next => {}
            Step::SkipHalf => {
                assert_eq!(program[next], 0, "the upper half of a descriptor");
                next += 1;
            }
            Step::Jump => {
                assert!(instruction.offset >= 0, "jumps go forward");
                next += usize::from(instruction.offset as u16);
            }
            Step::End(code) => return code,
        }
    }
    panic!("the program does not end");
}

struct Machine<'a> {
    registers: [Option<u64>; 10],
    map: i32,
    frame: &'a [u8],
    queue: u32,
    queues: u32,
}

/// What follows an instruction.
enum Step {
    Next,
    SkipHalf,
    Jump,
    End(u64),
}

impl Machine<'_> {
    fn read(&self, register: u8) -> u64 {
        self.registers[usize::from(register)].expect("it was written before")
    }

    fn execute(&mut self, instruction: Instruction) -> Step {
        let Instruction {
            operation,
            destination: to,
            source: from,
            offset,
            immediate,
        } = instruction;
        // Immediates are extended with their sign.
        let extended = i64::from(immediate) as u64;
        let jump_if = |jumps| if jumps { Step::Jump } else { Step::Next };
        let value = match operation {
            LOAD_WORD | LOAD_HALF | LOAD_BYTE => {
                let address = self.read(from).wrapping_add(i64::from(offset) as u64);
                let length = match operation {
                    LOAD_WORD => 4,
                    LOAD_HALF => 2,
                    _ => 1,
                };
                load(self.frame, self.queue, address, length)
            }
            LOAD_WIDE => {
                assert_eq!((from, immediate), (1, self.map), "the map's descriptor");
                self.registers[usize::from(to)] = Some(MAP);
                return Step::SkipHalf;
            }
            COPY => self.read(from),
            SET => extended,
            ADD => self.read(to).wrapping_add(extended),
            AND => u64::from(self.read(to) as u32 & immediate as u32),
            JUMP => return Step::Jump,
            JUMP_IF_EQUAL => return jump_if(self.read(to) as u32 == immediate as u32),
            JUMP_UNLESS_EQUAL => return jump_if(self.read(to) as u32 != immediate as u32),
            JUMP_IF_GREATER => return jump_if(self.read(to) > self.read(from)),
            JUMP_IF_AT_LEAST => return jump_if(self.read(to) >= self.read(from)),
            CALL => {
                self.call(immediate);
                return Step::Next;
            }
            EXIT => return Step::End(self.read(0)),
            _ => panic!("an operation that no program has: {operation:#x}"),
        };
        self.registers[usize::from(to)] = Some(value);
        Step::Next
    }

    /// The only helper; like every call, it leaves nothing in the registers for arguments.
    fn call(&mut self, helper: i32) {
        assert_eq!(helper, REDIRECT_MAP);
        let arguments = [1, 2, 3].map(|register| self.read(register));
        assert_eq!(arguments, [MAP, self.queue.into(), XDP_PASS as u64]);
        self.registers[..6].fill(None);
        self.registers[0] = Some(if self.queue < self.queues {
            XDP_REDIRECT
        } else {
            XDP_PASS as u64
        });
    }
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
