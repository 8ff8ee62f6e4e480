"""Makes the plugins of the comparison of doors: WebAssembly, byte by byte, so that no compiler is needed."""

# Names of sections, types and instructions as WebAssembly has them.
TYPES, IMPORTS, FUNCTIONS, MEMORY, EXPORTS, CODE, DATA = 1, 2, 3, 5, 7, 10, 11
I32, FUNCTION, NOTHING = b"\x7f", b"\x60", b"\x40"
LOOP, IF, ELSE, END, BR, BR_IF, CALL, DROP = b"\x03", b"\x04", b"\x05", b"\x0b", b"\x0c", b"\x0d", b"\x10", b"\x1a"
GET, SET, TEE, LOAD, STORE, EQ, ADD, SUB, MUL = b"\x20", b"\x21", b"\x22", b"\x28\x02\x00", b"\x36\x02\x00", b"\x46", b"\x6a", b"\x6b", b"\x6c"

KEY = b":path"
# Where the guest has the key, where the host writes address and length of a value, where the guest keeps what it has computed, and
# what its allocator returns.
KEY_AT, VALUE_AT, LENGTH_AT, RESULT_AT, ALLOCATED_AT = 0, 16, 20, 32, 1024
GET_HEADER, LOCAL_RESPONSE = 0, 1
# Of a request that the guest answers itself.
CHECK, ANSWER = "/check", 418


def guest(calls, rounds=0, loops=False):
    """Returns a plugin that takes the path of a request's head so many times, in a hostcall each, and then does so many rounds of
    arithmetic. A request for CHECK it answers with ANSWER, or, with `loops`, never."""
    count, number = variable(3), variable(4)
    get_header = [*map(constant, (0, KEY_AT, len(KEY), VALUE_AT, LENGTH_AT)), CALL, leb(GET_HEADER), DROP]
    step = [GET, number, constant(1_664_525), MUL, constant(1_013_904_223), ADD, SET, number]
    answer = [*map(constant, (ANSWER, 0, 0, 0, 0, 0, 0, -1)), CALL, leb(LOCAL_RESPONSE), DROP]
    body = [
        *repeated(count, calls, get_header),
        *repeated(count, rounds, step),
        # Otherwise a compiler could leave the arithmetic out.
        *(constant(RESULT_AT), GET, number, STORE),
        *(constant(LENGTH_AT), LOAD, constant(len(CHECK)), EQ, IF, I32),
        *([LOOP, NOTHING, BR, leb(0), END] if loops else answer),
        *(constant(1), ELSE, constant(0), END, END),
    ]
    types = [function(0, 0), function(1, 1), function(3, 1), function(5, 1), function(8, 1)]
    imports = [("proxy_get_header_map_value", 3), ("proxy_send_local_response", 4)]
    functions = [
        ("proxy_abi_version_0_2_1", 0, leb(0) + END),
        ("proxy_on_memory_allocate", 1, leb(0) + constant(ALLOCATED_AT) + END),
        ("proxy_on_request_headers", 2, leb(1) + leb(2) + I32 + b"".join(body)),
    ]
    exports = [name("memory") + b"\x02" + leb(0)]
    exports += [name(each) + b"\x00" + leb(len(imports) + index) for index, (each, _, _) in enumerate(functions)]
    return b"\x00asm\x01\x00\x00\x00" + b"".join(
        [
            section(TYPES, types),
            section(IMPORTS, [name("env") + name(each) + b"\x00" + leb(of) for each, of in imports]),
            section(FUNCTIONS, [leb(of) for _, of, _ in functions]),
            section(MEMORY, [b"\x00" + leb(1)]),
            section(EXPORTS, exports),
            section(CODE, [leb(len(code)) + code for _, _, code in functions]),
            section(DATA, [b"\x00" + constant(KEY_AT) + END + leb(len(KEY)) + KEY]),
        ]
    )


def repeated(count, times, instructions):
    if not times:
        return []
    again = [GET, count, constant(1), SUB, TEE, count, BR_IF, leb(0), END]
    return [constant(times), SET, count, LOOP, NOTHING, *instructions, *again]


def section(number, items):
    content = leb(len(items)) + b"".join(items)
    return bytes([number]) + leb(len(content)) + content


def function(parameters, results):
    return FUNCTION + leb(parameters) + I32 * parameters + leb(results) + I32 * results


def name(text):
    return leb(len(text)) + text.encode()


def variable(index):
    return leb(index)


def constant(number):
    """Returns the instruction that puts a number on the stack, as LEB128 with a sign."""
    out = bytearray(b"\x41")
    while True:
        byte, number = number & 0x7F, number >> 7
        is_last = (number == 0 and not byte & 0x40) or (number == -1 and byte & 0x40)
        out.append(byte | (0 if is_last else 0x80))
        if is_last:
            return bytes(out)


def leb(number):
    out = bytearray()
    while True:
        byte, number = number & 0x7F, number >> 7
        out.append(byte | (0x80 if number else 0))
        if not number:
            return bytes(out)
