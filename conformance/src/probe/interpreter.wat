;; The part of the probe that is the same for every ABI version. What is generated stands before it: the
;; imports, a thunk for each import in the table $thunks, and the constants $NAME.
;;
;; One page of memory, because rows rely on where it ends:
;;
;;     0      what programs use as scratch; zero, but for the first 8 bytes, which are ones
;;     1024   their texts
;;     4096   the heap, empty again before each program
;;     24576  the program that is armed
;;     30720  the program that leads to its phase
;;     32752  what is answered: "prb1", a state, and from 32768 on what the program observed
;;     40960  what programs observed while the plugin started
;;     57344  which callbacks were called since the program was armed
;;     61440  the interpreter's own

(memory (export "memory") 1)
(data (i32.const 61440) "x-probe")
(data (i32.const 32752) "prb1")

;; The phase that a program waits for, what its callback returns then (255: what it would return), and
;; what proxy_on_done returns.
(global $phase (mut i32) (i32.const -1))
(global $returns (mut i32) (i32.const 255))
(global $done (mut i32) (i32.const 1))
(global $lead_phase (mut i32) (i32.const -1))
(global $lead_returns (mut i32) (i32.const 255))
;; A phase in which the stream is held from now on, what its callback returns then, and a phase behind it that is held, too.
(global $held (mut i32) (i32.const -1))
(global $held_returns (mut i32) (i32.const 0))
(global $held_also (mut i32) (i32.const -1))
;; The stream that is no control request.
(global $subject (mut i32) (i32.const -1))
(global $heap (mut i32) (i32.const 4096))
;; Where the next observation is written, and where they must end.
(global $noted (mut i32) (i32.const 32768))
(global $notes_end (mut i32) (i32.const 40960))
(global $observed (mut i32) (i32.const 32768))
(global $started (mut i32) (i32.const 40960))
(global $traced (mut i32) (i32.const 57344))

(func $malloc (export "malloc") (param $len i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $heap))
    (if (i32.gt_u (local.get $len) (i32.sub (i32.const 24576) (local.get $at))) (then (return (i32.const 0))))
    (global.set $heap (i32.add (local.get $at) (local.get $len)))
    (local.get $at))

;; Notes a result: 0 and 8 bytes.
(func $note_word (param $word i64)
    (if (i32.gt_u (i32.add (global.get $noted) (i32.const 9)) (global.get $notes_end)) (then (return)))
    (i32.store8 (global.get $noted) (i32.const 0))
    (i64.store (i32.add (global.get $noted) (i32.const 1)) (local.get $word))
    (global.set $noted (i32.add (global.get $noted) (i32.const 9))))

;; Notes bytes: 1, a length of 2 bytes, and as many of them as there is room for.
(func $note_bytes (param $at i32) (param $len i32)
    (local $room i32)
    (local.set $room (i32.sub (i32.sub (global.get $notes_end) (global.get $noted)) (i32.const 3)))
    (if (i32.lt_s (local.get $room) (i32.const 0)) (then (return)))
    (if (i32.gt_u (local.get $len) (local.get $room)) (then (local.set $len (local.get $room))))
    (i32.store8 (global.get $noted) (i32.const 1))
    (i32.store16 (i32.add (global.get $noted) (i32.const 1)) (local.get $len))
    (memory.copy (i32.add (global.get $noted) (i32.const 3)) (local.get $at) (local.get $len))
    (global.set $noted (i32.add (global.get $noted) (i32.add (local.get $len) (i32.const 3)))))

;; Runs a program: texts to be laid out, then calls.
(func $run (param $at i32)
    (local $count i32) (local $arguments i32) (local $hostcall i32) (local $argument i32) (local $value i64)
    (memory.fill (i32.const 0) (i32.const 0) (i32.const 1024))
    (i64.store (i32.const 0) (i64.const -1))
    (global.set $heap (i32.const 4096))
    (local.set $count (i32.load8_u (local.get $at)))
    (local.set $at (i32.add (local.get $at) (i32.const 1)))
    (block $texts_end
        (loop $text
            (br_if $texts_end (i32.eqz (local.get $count)))
            (memory.copy
                (i32.load16_u (local.get $at))
                (i32.add (local.get $at) (i32.const 4))
                (i32.load16_u (i32.add (local.get $at) (i32.const 2))))
            (local.set $at (i32.add (i32.add (local.get $at) (i32.const 4))
                (i32.load16_u (i32.add (local.get $at) (i32.const 2)))))
            (local.set $count (i32.sub (local.get $count) (i32.const 1)))
            (br $text)))
    (local.set $count (i32.load8_u (local.get $at)))
    (local.set $at (i32.add (local.get $at) (i32.const 1)))
    (block $calls_end
        (loop $call
            (br_if $calls_end (i32.eqz (local.get $count)))
            (local.set $hostcall (i32.load8_u (local.get $at)))
            (local.set $arguments (i32.load8_u (i32.add (local.get $at) (i32.const 1))))
            (local.set $at (i32.add (local.get $at) (i32.const 2)))
            (local.set $argument (i32.const 61504))
            (block $arguments_end
                (loop $next
                    (br_if $arguments_end (i32.eqz (local.get $arguments)))
                    (local.set $value (i64.load (i32.add (local.get $at) (i32.const 1))))
                    ;; 1: the word at an address; 2: the stream.
                    (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 1))
                        (then (local.set $value (i64.load32_u (i32.wrap_i64 (local.get $value))))))
                    (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 2))
                        (then (local.set $value (i64.extend_i32_u (global.get $subject)))))
                    (i64.store (local.get $argument) (local.get $value))
                    (local.set $argument (i32.add (local.get $argument) (i32.const 8)))
                    (local.set $at (i32.add (local.get $at) (i32.const 9)))
                    (local.set $arguments (i32.sub (local.get $arguments) (i32.const 1)))
                    (br $next)))
            (if (i32.eq (local.get $hostcall) (i32.const 255))
                (then (call $note_bytes (i32.load (i32.const 61504)) (i32.load (i32.const 61512))))
                (else
                    (call $note_word (if (result i64) (i32.eq (local.get $hostcall) (i32.const 254))
                        (then (i64.load32_s (i32.load (i32.const 61504))))
                        (else (call_indirect $thunks (result i64) (local.get $hostcall)))))))
            (local.set $count (i32.sub (local.get $count) (i32.const 1)))
            (br $call))))

;; What every callback does: notes that it was called, and runs the program that waits for it. A context
;; of 0 stands for a callback that belongs to no stream.
(func $at (param $phase i32) (param $context i32) (param $default i32) (result i32)
    (if (i32.and (i32.ne (local.get $context) (i32.const 0)) (i32.ne (local.get $context) (global.get $subject)))
        (then (return (local.get $default))))
    (if (i32.lt_u (global.get $traced) (i32.const 61440))
        (then
            (i32.store8 (global.get $traced) (local.get $phase))
            (global.set $traced (i32.add (global.get $traced) (i32.const 1)))))
    (if (i32.eq (global.get $lead_phase) (local.get $phase))
        (then
            (global.set $lead_phase (i32.const -1))
            ;; What it observes is of no interest.
            (global.set $notes_end (global.get $noted))
            (call $run (i32.const 30720))
            (if (i32.ne (global.get $lead_returns) (i32.const 255))
                (then (local.set $default (global.get $lead_returns))))))
    (if (i32.eq (global.get $held) (local.get $phase)) (then (local.set $default (global.get $held_returns))))
    (if (i32.eq (global.get $held_also) (local.get $phase)) (then (local.set $default (i32.const 1))))
    (if (i32.ne (global.get $phase) (local.get $phase)) (then (return (local.get $default))))
    (global.set $phase (i32.const -1))
    (global.set $noted (i32.const 32768))
    (global.set $notes_end (i32.const 40960))
    (call $run (i32.const 24576))
    (global.set $observed (global.get $noted))
    (i32.store8 (i32.const 32756) (i32.const 1))
    (if (i32.eq (global.get $returns) (i32.const 255)) (then (return (local.get $default))))
    (global.get $returns))

;; Makes a new stream the one that is no control request; while one is held, that stays the one.
(func $claim (param $context i32)
    (if (i32.and (i32.ne (global.get $held) (i32.const -1)) (i32.ne (global.get $subject) (i32.const -1))) (then (return)))
    (global.set $subject (local.get $context)))

(func $nibble (param $digit i32) (result i32)
    (if (result i32) (i32.gt_u (local.get $digit) (i32.const 57))
        (then (i32.sub (local.get $digit) (i32.const 87)))
        (else (i32.sub (local.get $digit) (i32.const 48)))))

;; Decodes hexadecimal digits.
(func $unhex (param $from i32) (param $digits i32) (param $to i32)
    (block $end
        (loop $next
            (br_if $end (i32.lt_s (local.get $digits) (i32.const 2)))
            (i32.store8 (local.get $to) (i32.or
                (i32.shl (call $nibble (i32.load8_u (local.get $from))) (i32.const 4))
                (call $nibble (i32.load8_u (i32.add (local.get $from) (i32.const 1))))))
            (local.set $from (i32.add (local.get $from) (i32.const 2)))
            (local.set $to (i32.add (local.get $to) (i32.const 1)))
            (local.set $digits (i32.sub (local.get $digits) (i32.const 2)))
            (br $next))))

;; Answers a control request with bytes that begin with "prb1".
(func $reply (param $at i32) (param $len i32)
    (drop (call $proxy_send_local_response (i32.const 200) (i32.const 0) (i32.const 0)
        (local.get $at) (local.get $len) (i32.const 0) (i32.const 0) (i32.const -1))))

;; Answers with "prb1", a state, and the bytes behind it.
(func $reply_with (param $at i32) (param $end i32)
    (local $len i32)
    (global.set $heap (i32.const 4096))
    (local.set $len (i32.sub (local.get $end) (local.get $at)))
    (memory.copy (i32.const 4096) (i32.const 32752) (i32.const 5))
    (memory.copy (i32.const 4101) (local.get $at) (local.get $len))
    (call $reply (i32.const 4096) (i32.add (local.get $len) (i32.const 5))))

;; The value of the header x-probe: its address and length at 61448; says whether there is one.
(func $is_control (result i32)
    (global.set $heap (i32.const 4096))
    (i64.store (i32.const 61448) (i64.const 0))
    (if (call $proxy_get_header_map_value (i32.const 0) (i32.const 61440) (i32.const 7)
            (i32.const 61448) (i32.const 61452))
        (then (return (i32.const 0))))
    (i32.ne (i32.load (i32.const 61452)) (i32.const 0)))

;; Does what the header says: arm a program, arm one that leads to it, or answer what was seen.
(func $control
    (local $at i32) (local $len i32) (local $what i32)
    (local.set $what (i32.load8_u (i32.load (i32.const 61448))))
    (local.set $at (i32.add (i32.load (i32.const 61448)) (i32.const 1)))
    (local.set $len (i32.sub (i32.load (i32.const 61452)) (i32.const 1)))
    (if (i32.eq (local.get $what) (i32.const 108)) ;; l
        (then
            (call $unhex (local.get $at) (i32.const 4) (i32.const 61464))
            (call $unhex (i32.add (local.get $at) (i32.const 4)) (i32.sub (local.get $len) (i32.const 4)) (i32.const 30720))
            (global.set $lead_phase (i32.load8_u (i32.const 61464)))
            (global.set $lead_returns (i32.load8_u (i32.const 61465)))))
    (if (i32.eq (local.get $what) (i32.const 97)) ;; a
        (then
            (call $unhex (local.get $at) (i32.const 4) (i32.const 61464))
            (call $unhex (i32.add (local.get $at) (i32.const 4)) (i32.sub (local.get $len) (i32.const 4)) (i32.const 24576))
            (global.set $phase (i32.load8_u (i32.const 61464)))
            (global.set $returns (i32.load8_u (i32.const 61465)))
            (global.set $subject (i32.const -1))
            (global.set $observed (i32.const 32768))
            (global.set $traced (i32.const 57344))
            (i32.store8 (i32.const 32756) (i32.const 0))
            (drop (call $proxy_set_tick_period_milliseconds (i32.const 1)))))
    (if (i32.eq (local.get $what) (i32.const 100)) ;; d
        (then
            (call $unhex (local.get $at) (i32.const 6) (i32.const 61464))
            (global.set $held (i32.const -1))
            (global.set $held_also (i32.const -1))
            ;; Whatever was to lead anywhere led there, or is of a stream before.
            (global.set $lead_phase (i32.const -1))
            (if (i32.ne (i32.load8_u (i32.const 61464)) (i32.const 255))
                (then
                    (global.set $held (i32.load8_u (i32.const 61464)))
                    (global.set $held_returns (i32.load8_u (i32.const 61465)))
                    (global.set $held_also (i32.load8_u (i32.const 61466)))
                    (global.set $subject (i32.const -1))
                    (global.set $phase (i32.const -1))
                    (global.set $traced (i32.const 57344))
                    (drop (call $proxy_set_tick_period_milliseconds (i32.const 1)))))))
    (if (i32.eq (local.get $what) (i32.const 115)) ;; s
        (then (return (call $reply_with (i32.const 40960) (global.get $started)))))
    (if (i32.eq (local.get $what) (i32.const 116)) ;; t
        (then (return (call $reply_with (i32.const 57344) (global.get $traced)))))
    (if (i32.eq (local.get $what) (i32.const 104)) ;; h
        (then (return (call $reply_with (i32.const 61632) (i32.const 61664)))))
    (if (i32.eq (local.get $what) (i32.const 112)) ;; p
        (then (global.set $done (i32.const 0))))
    (if (i32.eq (local.get $what) (i32.const 113)) ;; q
        (then (drop (call $proxy_set_tick_period_milliseconds (i32.const 0)))))
    (call $reply_with (i32.const 32768) (global.get $observed)))

;; Headers of a request, which may be a control request.
(func $request_headers (param $phase i32) (param $context i32) (result i32)
    (if (call $is_control) (then (call $control) (return (i32.const 1))))
    (call $claim (local.get $context))
    (call $at (local.get $phase) (local.get $context) (i32.const 0)))

;; What runs while the plugin starts: the VM's configuration is "prb1" and for each program the digits of
;; its phase, its length in two bytes, and itself. What each observes is kept with its number and length.
(func $starting (param $phase i32)
    (local $offset i32) (local $number i32) (local $len i32) (local $kept i32)
    (local.set $offset (i32.const 4))
    (block $end
        (loop $next
            (global.set $heap (i32.const 4096))
            (br_if $end (call $proxy_get_buffer_bytes (i32.const 6) (local.get $offset) (i32.const 6)
                (i32.const 61448) (i32.const 61452)))
            (br_if $end (i32.ne (i32.load (i32.const 61452)) (i32.const 6)))
            (call $unhex (i32.load (i32.const 61448)) (i32.const 6) (i32.const 61464))
            (local.set $len (i32.load16_u (i32.const 61465)))
            (local.set $offset (i32.add (local.get $offset) (i32.const 6)))
            (if (i32.eq (i32.load8_u (i32.const 61464)) (local.get $phase))
                (then
                    (global.set $heap (i32.const 4096))
                    (br_if $end (call $proxy_get_buffer_bytes (i32.const 6) (local.get $offset)
                        (i32.shl (local.get $len) (i32.const 1)) (i32.const 61448) (i32.const 61452)))
                    (call $unhex (i32.load (i32.const 61448)) (i32.load (i32.const 61452)) (i32.const 24576))
                    (local.set $kept (global.get $started))
                    (br_if $end (i32.gt_u (local.get $kept) (i32.const 57280)))
                    (global.set $noted (i32.add (local.get $kept) (i32.const 4)))
                    (global.set $notes_end (i32.const 57344))
                    (call $run (i32.const 24576))
                    (i32.store16 (local.get $kept) (local.get $number))
                    (i32.store16 (i32.add (local.get $kept) (i32.const 2))
                        (i32.sub (i32.sub (global.get $noted) (local.get $kept)) (i32.const 4)))
                    (global.set $started (global.get $noted))))
            (local.set $offset (i32.add (local.get $offset) (i32.shl (local.get $len) (i32.const 1))))
            (local.set $number (i32.add (local.get $number) (i32.const 1)))
            (br $next))))
