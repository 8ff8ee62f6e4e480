//! Parts that a module can have many of.

use std::borrow::Cow;
use std::iter;

use wasm_encoder::{ConstExpr, Elements, ExportKind, ValType};

use super::dimension::Dimension;
use super::parts::PLAIN;

pub(super) const DIMENSIONS: &[Dimension] = &[
    Dimension {
        name: "types",
        accepted: &[10_000, 100_000],
        refused: &[100_001, 1_000_001],
        write: |parts, size| {
            for _ in 0..size - 2 {
                parts.ty(vec![], vec![]);
            }
        },
    },
    Dimension {
        name: "big types",
        accepted: &[3, 10],
        refused: &[],
        write: |parts, size| {
            for _ in 0..size - 2 {
                parts.ty(vec![ValType::I64; 1000], vec![ValType::I64; 1000]);
            }
        },
    },
    Dimension {
        name: "functions",
        accepted: &[1000],
        refused: &[300_001, 1_000_001],
        write: |parts, size| {
            for _ in 0..size - 2 {
                parts.function(PLAIN, vec![], |_| {});
            }
        },
    },
    Dimension {
        name: "functions of many types",
        accepted: &[300],
        refused: &[],
        write: |parts, size| {
            for at in 0..size - 2 {
                let bits = (0..12).map(|bit| if at >> bit & 1 == 0 { ValType::I32 } else { ValType::I64 });
                let ty = parts.ty(bits.collect(), vec![]);
                parts.function(ty, vec![], |_| {});
            }
        },
    },
    Dimension {
        name: "imports",
        accepted: &[10_000, 100_000],
        refused: &[100_001],
        write: |parts, size| {
            parts.ty(vec![], vec![ValType::I32]);
            for _ in 0..size {
                parts.import();
            }
        },
    },
    Dimension {
        name: "exports",
        accepted: &[10_000, 100_000],
        refused: &[],
        write: |parts, size| {
            parts.function(PLAIN, vec![], |_| {});
            for at in 0..size {
                parts.exports.export(&at.to_string(), ExportKind::Func, 0);
            }
        },
    },
    Dimension {
        name: "globals",
        accepted: &[10_000, 100_000],
        refused: &[100_001, 1_000_001],
        write: |parts, size| {
            for _ in 0..size {
                parts.global(&ConstExpr::i32_const(1));
            }
        },
    },
    Dimension {
        name: "tables",
        accepted: &[1, 4],
        refused: &[5, 101],
        write: |parts, size| {
            for _ in 0..size {
                parts.table(1, None);
            }
        },
    },
    Dimension {
        name: "table",
        accepted: &[100_000, 1_048_576],
        refused: &[1_048_577, 10_000_001, 4_294_967_295],
        write: |parts, size| {
            parts.table(size.into(), None);
        },
    },
    Dimension {
        name: "table maximum",
        accepted: &[1, 1_048_576, 134_217_728],
        refused: &[134_217_729, 4_294_967_295],
        write: |parts, size| {
            parts.table(0, Some(size.into()));
        },
    },
    Dimension {
        name: "element segments",
        accepted: &[10_000],
        refused: &[100_001],
        write: |parts, size| {
            parts.table(1, None);
            for _ in 0..size {
                parts.elements.active(None, &ConstExpr::i32_const(0), Elements::Functions(Cow::Borrowed(&[0])));
            }
        },
    },
    Dimension {
        name: "passive element segments",
        accepted: &[1000],
        refused: &[100_001],
        write: |parts, size| {
            for _ in 0..size {
                parts.elements.passive(Elements::Functions(Cow::Borrowed(&[0])));
            }
        },
    },
    Dimension {
        name: "elements",
        accepted: &[10_000],
        refused: &[10_000_001],
        write: |parts, size| {
            parts.elements.passive(Elements::Functions(vec![0; size as usize].into()));
        },
    },
    Dimension {
        name: "element expressions",
        accepted: &[10_000],
        refused: &[],
        write: |parts, size| {
            parts.elements.passive(Elements::Expressions(
                wasm_encoder::RefType::FUNCREF,
                vec![ConstExpr::ref_func(0); size as usize].into(),
            ));
        },
    },
    Dimension {
        name: "data segments",
        accepted: &[10_000, 100_000],
        refused: &[100_001],
        write: |parts, size| {
            for _ in 0..size {
                parts.data.active(0, &ConstExpr::i32_const(0), [1]);
            }
        },
    },
    Dimension {
        name: "passive data segments",
        accepted: &[10_000],
        refused: &[100_001],
        write: |parts, size| {
            for _ in 0..size {
                parts.data.passive([1]);
            }
        },
    },
    Dimension {
        name: "data",
        accepted: &[65_536],
        refused: &[],
        write: |parts, size| {
            parts.data.active(0, &ConstExpr::i32_const(0), iter::repeat_n(1, size as usize));
        },
    },
    Dimension {
        name: "passive data",
        accepted: &[1_000_000],
        refused: &[],
        write: |parts, size| {
            parts.data.passive(iter::repeat_n(1, size as usize));
        },
    },
    Dimension {
        name: "memory",
        accepted: &[0, 1, 16_384],
        refused: &[65_537],
        write: |parts, size| {
            parts.memory.minimum = size.into();
        },
    },
    Dimension {
        name: "memory maximum",
        accepted: &[1, 65_535, 65_536],
        refused: &[65_537],
        write: |parts, size| {
            parts.memory.maximum = Some(size.into());
        },
    },
    Dimension {
        name: "export name",
        accepted: &[100_000],
        refused: &[100_001],
        write: |parts, size| {
            parts.exports.export(&"x".repeat(size as usize), ExportKind::Memory, 0);
        },
    },
    Dimension {
        name: "custom name",
        accepted: &[100_000],
        refused: &[100_001],
        write: |parts, size| {
            parts.custom.push(("x".repeat(size as usize), vec![]));
        },
    },
    Dimension {
        name: "custom sections",
        accepted: &[10_000],
        refused: &[],
        write: |parts, size| {
            parts.custom = vec![(String::new(), vec![]); size as usize];
        },
    },
    Dimension {
        name: "custom bytes",
        accepted: &[1_000_000],
        refused: &[],
        write: |parts, size| {
            parts.custom = vec![("name".to_owned(), vec![0; size as usize])];
        },
    },
    Dimension {
        name: "function name",
        accepted: &[100_000, 100_001, 1_000_000],
        refused: &[],
        write: |parts, size| {
            let mut names = wasm_encoder::NameSection::new();
            let mut map = wasm_encoder::NameMap::new();
            map.append(0, &"x".repeat(size as usize));
            names.functions(&map);
            let mut data = Vec::new();
            wasm_encoder::Encode::encode(&names, &mut data);
            // Length and the section's own name come first.
            let at = data.windows(4).position(|bytes| bytes == b"name").unwrap_or_default() + 4;
            parts.custom.push(("name".to_owned(), data.split_off(at)));
        },
    },
    Dimension {
        name: "additions of a global",
        accepted: &[1, 10, 1000],
        refused: &[],
        write: |parts, size| {
            let mut value = ConstExpr::i32_const(1);
            for _ in 0..size {
                value = value.with_i32_const(1).with_i32_add();
            }
            parts.global(&value);
        },
    },
    Dimension {
        name: "operands of a global",
        accepted: &[10, 1000],
        refused: &[],
        write: |parts, size| {
            let mut value = ConstExpr::i32_const(1);
            for _ in 0..size {
                value = value.with_i32_const(1);
            }
            for _ in 0..size {
                value = value.with_i32_add();
            }
            parts.global(&value);
        },
    },
    Dimension {
        name: "additions of an offset",
        accepted: &[1, 10, 1000],
        refused: &[],
        write: |parts, size| {
            let mut value = ConstExpr::i32_const(0);
            for _ in 0..size {
                value = value.with_i32_const(0).with_i32_add();
            }
            parts.data.active(0, &value, [1]);
            parts.table(1, None);
            parts.elements.active(None, &value, Elements::Functions(Cow::Borrowed(&[0])));
        },
    },
];
