use crate::engine::trap::{CallStack, Frame, function_name};

/// Shows names of functions and files as guests choose them: bounded and printable.
///
/// Lines are names; one that begins with `@` is the source file of the one before.
pub fn names(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lines: Vec<&str> = text.split('\n').collect();
    let frames = (0..).zip(lines.iter().enumerate()).filter_map(|(function, (at, line))| {
        let source = lines.get(at + 1).and_then(|next| next.strip_prefix('@'));
        let name = Some(*line).filter(|name| !name.is_empty());
        (!line.starts_with('@')).then_some(Frame { function, name, source: source.map(|file| (file, function)) })
    });
    let stack = frames.collect::<CallStack>().to_string();
    assert!(stack.len() < 5000, "{} bytes", stack.len());
    assert!(!stack.contains(char::is_control), "{stack:?}");
    for line in lines.iter().take(CallStack::FRAMES) {
        let name = function_name(line);
        assert!(name.len() <= 203 && !name.contains(char::is_control), "{name:?}");
    }
}
