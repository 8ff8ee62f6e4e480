/// Threats from a guest, and the cases that show that it gains nothing: a full name, the beginning of one, or a file of tests.
///
/// The first are defects that hosts in use have had; then what follows from the ABI handing numbers and bytes to whoever asks.
pub const THREATS: &[(&str, &[&str])] = &[
    (
        "hostcalls that act on a plugin are called before there is one, from a start function or section, or from the allocator",
        &[
            "attacks_phases::hostcalls_from_the_allocator",
            "attacks_phases::hostcalls_from_the_start_section",
            "attacks_phases::hostcalls_from_initialize",
            "allocator::anything_else_that_it_calls_ends_the_vm",
            "start::a_restricted_hostcall_in",
        ],
    ),
    (
        "a module has no memory, or another's",
        &["linking::an_imported_memory_is_refused", "linking::a_module_without_memory"],
    ),
    (
        "the allocator returns 0, what is out of range, an odd address, the same address twice, or not at all",
        &["hostile_allocators::", "allocator::returning_", "allocator::a_trap_in_it_ends_the_vm"],
    ),
    (
        "the allocator grows memory, so that it moves, while the host holds what it was given",
        &["hostile_allocators::", "allocator::it_may_grow_memory"],
    ),
    (
        "a growing allocator tells of it as Emscripten's does",
        &["answers::emscripten_notify_memory_growth", "assemblyscript::what_emscripten_imports"],
    ),
    ("a few bytes are uncompressed to more than there is room for", &["portcullis/tests/it/foreign.rs"]),
    (
        "a foreign function's argument lies in memory that moves meanwhile",
        &["hostile_allocators::proxy_call_foreign_function", "hostile_edges::proxy_call_foreign_function"],
    ),
    ("one VM that is stopped stops others", &["hostile_victims::a_deadline_that_ends_one_vm_and_no_other"]),
    (
        "a guest goes on after a trap, in an outer call or a later one, or after proc_exit",
        &[
            "traps::nothing_is_called_in_a_failed_vm",
            "traps::proc_exit_ends_the_vm_and_what_was_asked_before_remains",
            "hostile_edges::proc_exit",
        ],
    ),
    (
        "pairs that cannot be read: huge counts, lengths that overlap or overflow, bytes that are missing or too many",
        &["hostile_pairs::", "answers::proxy_set_header_map_pairs_answers_2_malformed_pairs_change_nothing"],
    ),
    (
        "a result is written where there is no room, or beyond memory",
        &["hostile_edges::", "memory::nothing_is_written_where_a_part_lies_outside"],
    ),
    (
        "a hostcall that hosts link with another type, or not at all",
        &["linking::all_that_plugins_may_import_is_linked", "linking::a_hostcall_of_another_type_is_refused"],
    ),
    ("a call that hosts have not made real ends the process", &["answers::", "wasi_absent::"]),
    (
        "addresses and lengths at each edge of memory, and around 2³¹ and 2³²",
        &["hostile_edges::", "memory::pointers_and_lengths_are_unsigned_and_do_not_wrap"],
    ),
    ("callbacks call back, ask for everything, or feed the queue that they are told of", &["hostile_callbacks::"]),
    (
        "a callback has another type than its own, or is no function",
        &["hostile_signatures::", "linking::a_callback_of_another_type_is_refused"],
    ),
    ("ids of what is gone, of others, or of the future", &["hostile_ids::", "attacks_tokens::"]),
    ("more contexts than anyone expects", &["hostile_contexts::"]),
    (
        "code that is malformed in every way, or valid and out of all proportion",
        &["hostile_modules::", "hostile_starts::"],
    ),
    ("endless loops, recursion and growth", &["limits::"]),
    (
        "floods of what others keep: log lines, metrics, data, queues, bodies",
        &["attacks_floods::", "budgets::", "hostile_victims::a_victim_of_every_attack"],
    ),
    (
        "another VM, in whatever way",
        &["hostile_victims::", "attacks_memory::an_environment_that_another_plugin_alone_should_see"],
    ),
    (
        "the rights of a plugin in the same VM",
        &["attacks_memory::", "attacks_arguments::", "attacks_phases::a_callback_into_a_plugin_that_lost_it"],
    ),
];
