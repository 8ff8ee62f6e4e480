"""Tests of `benches/run` that measure nothing: python3 -B -m unittest runner.test_runner, in benches/."""

import json
import tempfile
import unittest
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from unittest import mock

from runner import aims, collect, doors, page, reader, results, sections, soak, tables

FIXTURE = Path(__file__).with_name("fixture.json")


def fixture():
    return json.loads(FIXTURE.read_text())


def rendered(found):
    return page.markdown(found, "plot.svg", "latest.json")


class Page(unittest.TestCase):
    def line(self, text, start):
        found = [line for line in text.splitlines() if line.startswith(start)]
        self.assertEqual(len(found), 1, f"{start}: {found}")
        return found[0]

    def test_a_section_that_is_missing_is_named(self):
        text = rendered(fixture())
        self.assertIn("Not measured in this run: `benches/run scale`.", text)
        self.assertIn("`benches/run instructions`. Not measured in this run: `benches/run crossing`.", text)
        self.assertNotIn("create and delete, ns", text)

    def test_no_section_is_needed(self):
        text = rendered(fixture() | {"sections": {}})
        self.assertEqual(text.count("Not measured in this run"), len(page.PARTS) + 1)
        self.assertNotIn("plot.svg", text)
        self.assertNotIn("met |", text)

    def test_a_row_without_a_quiet_run_is_marked(self):
        text = rendered(fixture())
        self.assertEqual(self.line(text, "| Envoy, header_tour | – |"), "| Envoy, header_tour | – | 1,000 | – | – | – |")
        disturbed = self.line(text, "| Portcullis on wasmtime, header_tour | – |")
        self.assertEqual(disturbed, "| Portcullis on wasmtime, header_tour | – | 3,500 † | – | – | – |")

    def test_a_disturbed_section_says_it_once(self):
        text = rendered(fixture())
        self.assertIn("`benches/run cold_start` († 12 %).", text)
        self.assertIn("| wasmtime | 50.0 | 5.00 | 10.0 | – | – | – |", text)
        # What callgrind counts is not disturbed.
        self.assertIn("| callback of an empty guest | – | – | – | 1,088 |", text)

    def test_aims_are_met_missed_or_not_measured(self):
        text = rendered(fixture())
        self.assertIn("16 connections | met | ≥ 3 × | 3.50 † |", text)
        self.assertIn("faster than compiling | **missed** | ≥ 20 × | 10.0 † |", text)
        self.assertIn("instructions on wasmi | met | ≤ 16 × | 12.0 |", text)
        self.assertIn("warm code cache, wasmtime | not measured | ≤ 50 ms | – |", text)

    def test_the_cost_of_a_plugin_that_is_noise_is_no_aim_met(self):
        found = fixture()
        envoy, ours = found["sections"]["compare"]["result"]["cases"]
        bare = [case | {"plugin": False, "server": name} for case, name in ((envoy, "envoy"), (ours, "portcullis"))]
        found["sections"]["compare"]["result"]["cases"] += bare
        verdicts = {aim.text: met for aim, _, met, _ in aims.judged(found)}
        self.assertIsNone(verdicts["CPU of the plugin, wasmtime ÷ Envoy, 16 connections"])

    def test_bounds_belong_to_what_meets_the_aim(self):
        for sense, number, expected in (("≤", 2, True), ("≤", 2.01, False), ("≥", 2, True), ("≥", 1.99, False)):
            with mock.patch.object(aims, "AIMS", [aims.Aim("", sense, 2, "", lambda _: number)]):
                self.assertEqual([met for _, _, met, _ in aims.judged(fixture())], [expected])

    def test_a_whole_page_has_few_lines(self):
        """With every section, as a full run makes them: the tables have the same rows, whatever is in the cells."""
        found = fixture()
        for name in sections.NAMES:
            found["sections"].setdefault(name, {"other_cpu_percent": 0, "result": {}, "seconds": 1})
        found["sections"]["request_instructions"]["result"] = {"request_instructions": {"no_plugin": 1, "wasmtime": 2}}
        found["sections"]["memory"]["result"] = {"memory": [{"resident_mib": 1.5, "requests": 10}]}
        with mock.patch.object(reader.Reader, "section", side_effect=reader.NotMeasured("all")):
            text = rendered(found)
        self.assertNotIn("Not measured", text)
        self.assertIn("by requests over 64 connections: 1.5 after 10: `benches/run memory`", text)
        self.assertGreater(text.count("\n"), 100)
        self.assertLessEqual(text.count("\n"), page.LINES)

    def test_numbers_have_three_digits(self):
        shown = [tables.number(value) for value in (0.456, 45.67, 456.7, 45678, -3.25)]
        self.assertEqual(shown, ["0.46", "45.7", "457", "45,678", "−3.25"])


class Files(unittest.TestCase):
    def test_the_readme_gets_its_numbers_between_the_marks(self):
        text = "before\n<!-- doors -->\nold\n<!-- /doors -->\nafter\n"
        made = page.readme(fixture(), text)
        self.assertNotIn("\nold\n", made)
        # Of 590 µs and 90 µs for 500 hostcalls, 41 µs and 40.2 µs for one, and 40 µs for none.
        sentences = made.replace("\n", " ")
        self.assertIn("takes 1.03 of V8's CPU at pure computing, and 1.20 with `header_tour`.", sentences)
        self.assertIn("take 99.8 ns instead of 1,100; a sandbox takes 0.07 MiB instead of 4.35;", sentences)
        self.assertLessEqual(max(map(len, made.splitlines())), 120)
        self.assertTrue(made.startswith("before\n<!-- doors -->\nInside"))
        self.assertTrue(made.endswith("\n<!-- /doors -->\nafter\n"))
        self.assertEqual(page.readme(fixture() | {"sections": {}}, text), text)

    def test_the_doors_are_told_with_their_spread_and_their_ratios(self):
        lines = doors.table(fixture())
        self.assertIn("| Envoy, its V8 | 40.0 ± 0.50 | 41.0 ± 0.50 | – | 590 ± 0.50 | 1,100 | 340 ± 0.50 | 65.0 ± 0.50 |", lines)
        self.assertTrue(lines[-1].endswith("| – | – | – | 11.0 | 11.0 | 0.97 | 0.83 |"), lines[-1])
        told = " ".join(doors.text(fixture()))
        self.assertIn("107 with the module (0.07 for each further one), 949 with V8 (4.35)", told)
        self.assertIn("it gets 503, and the worker serves on, after 1.02 s; with V8 neither that request", told)

    def test_the_doors_are_of_a_commit_of_their_own(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "doors.json"
            whole = fixture()
            del whole["sections"]["soak"]
            apart = whole | {"commit": "def5678", "sections": {"doors": whole["sections"].pop("doors")}}
            with mock.patch.dict(results.APART, {"doors": path}, clear=True):
                self.assertEqual(results.joined(whole), whole)
                results.save(apart, path)
                told = rendered(results.joined(whole))
        self.assertIn("at commit `def5678`", told)
        self.assertIn("commit `abc1234`, 11 minutes", told)
        self.assertEqual([results.path_of("doors", quick) for quick in (False, True)], [results.APART["doors"], results.QUICK])

    def test_reloads_are_told_beside_turns_without(self):
        lines = soak.table(fixture())
        self.assertIn("| with reloads | 300 | 240,000 | 0 | 1.00 | 4.00 | 9.00 | 30.0 |", lines)
        self.assertIn("1,377 reloads took 210 ms each (p99 400)", " ".join(soak.text(fixture())))
        read = reader.Reader(fixture())
        found = [soak.lost(read), soak.beyond("p999_ms")(read), soak.beyond("max_ms")(read), soak.memory(read)]
        self.assertEqual([round(number, 3) for number in found], [0, 0, 6, 2])

    def test_a_stale_file_fails(self):
        with tempfile.TemporaryDirectory(dir=page.REPO / "benches") as folder, redirect_stderr(StringIO()) as told:
            path = Path(folder) / "page.md"
            with mock.patch.object(page, "files", return_value={path: "new\n"}):
                self.assertTrue(page.check(fixture()))
                page.write(fixture())
                self.assertFalse(page.check(fixture()))
                path.write_text("old\n")
                self.assertTrue(page.check(fixture()))
        self.assertIn("run `benches/run --page`", told.getvalue())

    def test_equal_results_are_the_same_text(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "results/latest.json"
            results.save({"b": [1.23456, 7.0, 12345.6], "a": None}, path)
            self.assertEqual(path.read_text(), '{\n "a": null,\n "b": [\n  1.235,\n  7,\n  12350\n ]\n}\n')
            self.assertEqual([entry.name for entry in path.parent.iterdir()], ["latest.json"])

    def test_results_of_other_code_are_not_added_to(self):
        options = sections.Options(Path("/nowhere"))
        here = results.new(options)
        self.assertEqual(results.mergeable(here, options), here)
        self.assertEqual(results.mergeable(None, options), here)
        with self.assertRaisesRegex(SystemExit, "of another commit .*--new"):
            results.mergeable(here | {"commit": "other"}, options)


class Collect(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)

    def test_criterion(self):
        new = self.folder / "bodies_wasmi/read_1KiB/new"
        new.mkdir(parents=True)
        (new / "benchmark.json").write_text('{"group_id": "bodies/wasmi", "function_id": "read/1KiB"}')
        (new / "estimates.json").write_text('{"median": {"point_estimate": 2.5}, "mean": {"point_estimate": 9}}')
        self.assertEqual(collect.criterion(self.folder), {"bodies": {"wasmi": {"read/1KiB": 2.5}}})

    def test_callgrind(self):
        for name, count in (("callgrind.callback.empty_call.out", 1088), ("callgrind.callback.empty_call.out.old", 5)):
            (self.folder / name).write_text(f"events: Ir\nsummary: {count}\n\nfn=main\n")
        self.assertEqual(collect.callgrind(self.folder), {"callback.empty_call": 1088})

    def test_nothing_is_an_error(self):
        for collected in (collect.criterion, collect.callgrind):
            self.assertRaisesRegex(ValueError, "has left no results", collected, self.folder)


class Sections(unittest.TestCase):
    def test_a_command_ends_with_its_time(self):
        with self.assertRaisesRegex(sections.Failed, "did not end within 0 s"):
            sections.run(["sh", "-c", "sleep 60 & wait"], {}, 0.1)

    def test_a_command_that_fails_is_named(self):
        with self.assertRaisesRegex(sections.Failed, "false exited with 1"):
            sections.run(["false"], {}, 10)

    def test_a_section_keeps_what_it_left(self):
        script = """echo '{"a": 1}' >"$OUT" """
        section = sections.Section(
            "x", "", 1, (), (), lambda _options, _folder: ["sh", "-c", script],
            lambda folder: {"OUT": str(folder / "results.json")}, sections.tables,
        )
        record = sections.measure(section, sections.Options())
        self.assertEqual(record["result"], {"a": 1})

    def test_a_disturbed_section_is_measured_twice_at_most_and_while_there_is_time(self):
        scale = sections.SECTIONS[sections.NAMES.index("scale")]
        compare = sections.SECTIONS[sections.NAMES.index("compare")]
        for section, loads, budget, kept, left in (
            (scale, [5, 0], 100, 5, 100),
            (scale, [50, 20, 0], 100, 20, 60),
            (scale, [50, 90], 100, 50, 60),
            (scale, [50, 0], 39, 50, 39),
            (compare, [50, 0], 100, 50, 100),
        ):
            records = [{"other_cpu_percent": load, "seconds": 40} for load in loads]
            with mock.patch.object(sections, "measure", side_effect=records):
                found, rest = sections.measure_quietly(section, sections.Options(), budget)
            self.assertEqual((found["other_cpu_percent"], rest), (kept, left))

    def test_only_what_is_needed_is_built(self):
        def built(gateway, *names):
            chosen = [section for section in sections.SECTIONS if section.name in names]
            with mock.patch.object(sections, "run") as run:
                sections.build(sections.Options(gateway), chosen)
            return [" ".join(call.args[0]) for call in run.call_args_list]

        gateway, benches = "cargo build --release --workspace --bins", "cargo bench --workspace --no-run --bench"
        self.assertEqual(built(sections.GATEWAY, "instructions"), [f"{sections.INSTRUCTIONS} --no-run"])
        self.assertEqual(built(sections.GATEWAY, "memory", "compare"), [gateway])
        release = "cargo build --release --locked --package"
        module, tower, pingora = built(sections.GATEWAY, "doors")
        self.assertEqual(module, f"{release} portcullis-envoy --package workspace-features")
        self.assertEqual(tower, f"{release} portcullis-tower --example tower_door")
        self.assertTrue(pingora.startswith("bash -c ") and pingora.endswith("--target-dir target --example pingora_door"))
        self.assertEqual(built(sections.GATEWAY, "request_instructions"), [gateway, f"{benches} cold_start"])
        self.assertEqual(built(Path("/other"), "memory", "scale", "stream"), [f"{benches} scale --bench stream"])

    def test_every_section_stands_in_the_page(self):
        shown = {name for _, _, makers in page.PARTS for needs, _ in makers for name in needs} | {page.REQUEST, page.MEMORY}
        self.assertEqual(shown, set(sections.NAMES))


if __name__ == "__main__":
    unittest.main()
