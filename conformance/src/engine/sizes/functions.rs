//! Parts that one function can have many of.

use wasm_encoder::{BlockType, Elements, ValType};

use super::dimension::Dimension;
use super::parts::PLAIN;

pub(super) const DIMENSIONS: &[Dimension] = &[
    Dimension {
        name: "locals",
        accepted: &[29_998, 30_000],
        refused: &[30_001, 50_000, 50_001],
        write: |parts, size| {
            parts.function(PLAIN, vec![(size, ValType::I32)], |_| {});
        },
    },
    Dimension {
        name: "locals used",
        accepted: &[5000],
        refused: &[],
        write: |parts, size| {
            parts.function(PLAIN, vec![(size, ValType::I32)], |sink| {
                for local in 0..size {
                    sink.local_get(local).i32_const(1).i32_add().local_set(local);
                }
            });
        },
    },
    Dimension {
        name: "vector locals",
        accepted: &[21_845],
        refused: &[21_846, 30_000],
        write: |parts, size| {
            parts.function(PLAIN, vec![(size, ValType::V128)], |_| {});
        },
    },
    Dimension {
        name: "groups of locals",
        accepted: &[30_000],
        refused: &[30_001],
        write: |parts, size| {
            let groups = (0..size).map(|at| (1, if at % 2 == 0 { ValType::I32 } else { ValType::F64 }));
            parts.function(PLAIN, groups.collect(), |_| {});
        },
    },
    Dimension {
        name: "empty groups of locals",
        accepted: &[100_000],
        refused: &[],
        write: |parts, size| {
            parts.function(PLAIN, vec![(0, ValType::I32); size as usize], |_| {});
        },
    },
    Dimension {
        name: "locals and bulk",
        accepted: &[30_000],
        refused: &[30_001],
        write: |parts, size| {
            parts.function(PLAIN, vec![(size, ValType::I32)], |sink| {
                sink.i32_const(0).i32_const(0).i32_const(0).memory_fill(0);
            });
        },
    },
    Dimension {
        name: "parameters",
        accepted: &[1000],
        refused: &[1001],
        write: |parts, size| {
            let ty = parts.ty(vec![ValType::I64; size as usize], vec![]);
            parts.function(ty, vec![], |_| {});
        },
    },
    Dimension {
        name: "vector parameters",
        accepted: &[1000],
        refused: &[1001],
        write: |parts, size| {
            let ty = parts.ty(vec![ValType::V128; size as usize], vec![]);
            let callee = parts.function(ty, vec![], |_| {});
            parts.function(PLAIN, vec![(1, ValType::V128)], |sink| {
                for _ in 0..size {
                    sink.local_get(0);
                }
                sink.call(callee);
            });
        },
    },
    Dimension {
        name: "parameters and locals",
        accepted: &[29_000],
        refused: &[29_001],
        write: |parts, size| {
            let ty = parts.ty(vec![ValType::I64; 1000], vec![]);
            parts.function(ty, vec![(size, ValType::I32)], |_| {});
        },
    },
    Dimension {
        name: "results",
        accepted: &[1000],
        refused: &[1001],
        write: |parts, size| {
            let ty = parts.ty(vec![], vec![ValType::F64; size as usize]);
            let callee = parts.function(ty, vec![], |sink| {
                for _ in 0..size {
                    sink.f64_const(1.0.into());
                }
            });
            parts.function(PLAIN, vec![], |sink| {
                sink.call(callee);
                for _ in 0..size {
                    sink.drop();
                }
            });
        },
    },
    Dimension {
        name: "vector results",
        accepted: &[1000],
        refused: &[1001],
        write: |parts, size| {
            let ty = parts.ty(vec![], vec![ValType::V128; size as usize]);
            let callee = parts.function(ty, vec![], |sink| {
                for _ in 0..size {
                    sink.v128_const(1);
                }
            });
            parts.function(PLAIN, vec![], |sink| {
                sink.call(callee);
                for _ in 0..size {
                    sink.drop();
                }
            });
        },
    },
    Dimension {
        name: "results never returned",
        accepted: &[1000],
        refused: &[1001],
        write: |parts, size| {
            let ty = parts.ty(vec![], vec![ValType::V128; size as usize]);
            parts.function(ty, vec![], |sink| {
                sink.unreachable();
            });
        },
    },
    Dimension {
        name: "block results",
        accepted: &[1000],
        refused: &[1001],
        write: |parts, size| {
            let ty = parts.ty(vec![ValType::I32; size as usize], vec![ValType::I32; size as usize]);
            parts.function(PLAIN, vec![], |sink| {
                for _ in 0..size {
                    sink.i32_const(1);
                }
                sink.block(BlockType::FunctionType(ty)).end().loop_(BlockType::FunctionType(ty)).end();
                for _ in 0..size {
                    sink.drop();
                }
            });
        },
    },
    Dimension {
        name: "operands",
        accepted: &[10_000, 32_767],
        refused: &[32_768, 65_536],
        write: |parts, size| {
            parts.function(PLAIN, vec![], |sink| {
                for _ in 0..size {
                    sink.i32_const(1);
                }
                for _ in 0..size {
                    sink.drop();
                }
            });
        },
    },
    Dimension {
        name: "vector operands",
        accepted: &[10_000, 32_766],
        refused: &[32_767],
        write: |parts, size| {
            parts.function(PLAIN, vec![(1, ValType::V128)], |sink| {
                for _ in 0..size {
                    sink.local_get(0);
                }
                for _ in 0..size {
                    sink.drop();
                }
            });
        },
    },
    Dimension {
        name: "operands in code that is not reached",
        accepted: &[32_767],
        refused: &[32_768],
        write: |parts, size| {
            parts.function(PLAIN, vec![], |sink| {
                sink.unreachable();
                for _ in 0..size {
                    sink.i32_const(1);
                }
                for _ in 0..size {
                    sink.drop();
                }
            });
        },
    },
    Dimension {
        name: "locals and operands",
        accepted: &[2767],
        refused: &[2768, 5536],
        write: |parts, size| {
            parts.function(PLAIN, vec![(30_000, ValType::I32)], |sink| {
                for _ in 0..size {
                    sink.local_get(0);
                }
                for _ in 0..size {
                    sink.drop();
                }
            });
        },
    },
    Dimension {
        name: "nested blocks",
        accepted: &[100, 5000],
        refused: &[],
        write: |parts, size| {
            parts.function(PLAIN, vec![], |sink| {
                for _ in 0..size {
                    sink.block(BlockType::Empty);
                }
                for _ in 0..size {
                    sink.end();
                }
            });
        },
    },
    Dimension {
        name: "nested loops",
        accepted: &[100, 500],
        refused: &[],
        write: |parts, size| {
            parts.function(PLAIN, vec![], |sink| {
                for _ in 0..size {
                    sink.loop_(BlockType::Empty);
                }
                for _ in 0..size {
                    sink.end();
                }
            });
        },
    },
    Dimension {
        name: "nested ifs",
        accepted: &[1000, 3000],
        refused: &[],
        write: |parts, size| {
            parts.function(PLAIN, vec![(1, ValType::I32)], |sink| {
                for _ in 0..size {
                    sink.local_get(0).if_(BlockType::Empty);
                }
                for _ in 0..size {
                    sink.else_().end();
                }
            });
        },
    },
    Dimension {
        name: "body",
        accepted: &[100_000, 7_654_200],
        refused: &[7_654_300, 7_654_322],
        write: |parts, size| {
            parts.function(PLAIN, vec![], |sink| {
                for _ in 0..size - 2 {
                    sink.nop();
                }
            });
        },
    },
    Dimension {
        name: "loops",
        accepted: &[500],
        refused: &[115_000, 1_000_000],
        write: |parts, size| {
            parts.function(PLAIN, vec![], |sink| {
                for _ in 0..size {
                    sink.loop_(BlockType::Empty).end();
                }
            });
        },
    },
    Dimension {
        name: "targets",
        accepted: &[65_520],
        refused: &[65_521],
        write: |parts, size| {
            parts.function(PLAIN, vec![], |sink| {
                sink.i32_const(0).br_table(vec![0; size as usize], 0);
            });
        },
    },
    Dimension {
        name: "targets with values",
        accepted: &[10],
        refused: &[],
        write: |parts, size| {
            let ty = parts.ty(vec![], vec![ValType::I32; 1000]);
            parts.function(PLAIN, vec![], |sink| {
                sink.block(BlockType::FunctionType(ty));
                for _ in 0..1000 {
                    sink.i32_const(1);
                }
                sink.i32_const(0).br_table(vec![0; size as usize], 0).end();
                for _ in 0..1000 {
                    sink.drop();
                }
            });
        },
    },
    Dimension {
        name: "functions named in code",
        accepted: &[10_000],
        refused: &[],
        write: |parts, size| {
            parts.elements.declared(Elements::Functions(vec![0; size as usize].into()));
            parts.function(PLAIN, vec![], |sink| {
                for _ in 0..size {
                    sink.ref_func(0).drop();
                }
            });
        },
    },
    Dimension {
        name: "calls",
        accepted: &[10_000],
        refused: &[],
        write: |parts, size| {
            parts.function(PLAIN, vec![], |_| {});
            parts.function(PLAIN, vec![], |sink| {
                for _ in 0..size {
                    sink.call(0);
                }
            });
        },
    },
];
