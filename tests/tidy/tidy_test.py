#!/usr/bin/env python3
"""The rules of the house as tests: who may include whom, how long things are, what is not written.

Each test is one rule and lists every place that breaks it.
"""
import ast
import pathlib
import re
import shutil
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]

FILE_LINES = 500
FUNCTION_LINES = 70
COLUMNS = 100

# What a room of the engine may include besides itself. An arrow that is not here points upward.
ROOMS = {
    'base': set(),
    'job': {'base'},
    'log': {'base'},
    'state': {'base'},
    'run': {'base', 'job', 'log', 'state'},
    'edge': {'base', 'log'},
    'cli': {'base', 'job', 'log', 'state', 'run', 'edge'},
}
# Each third-party library enters at one place.
LIBRARIES = {
    'yyjson.h': r'engine/base/json\.c',
    'xxhash.h': r'engine/base/hash\.c',
    'librdkafka/rdkafka.h': r'engine/log/kafka\w*\.[ch]|(benchmarks/bench_|tests/)kafka.*\.c',
    'mimalloc.h': r'engine/base/memory\.c',
    'lmdb.h': r'engine/log/local\w*\.[ch]',
    'librdkafka/rdkafka.h': r'engine/log/kafka\w*\.[ch]|tests/kafka/\w+\.c',
    'libfyaml.h': r'engine/job/\w+\.[ch]',
    'uthash.h': r'engine/.*|operators/.*',
    'cmocka.h': r'tests/.*',
}
BANNED_CALLS = 'strcpy strcat sprintf vsprintf gets strtok atoi atol atof alloca'.split()


def tracked(*patterns):
    """Files of the tree as git knows them, new ones included, that are there."""
    command = ['git', '-c', 'safe.directory=*', 'ls-files', '--cached', '--others',
               '--exclude-standard', '--', *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True,
                            check=True).stdout.splitlines()
    return [name for name in sorted(set(listed)) if (ROOT / name).is_file()]


def lines_of(name):
    return (ROOT / name).read_text(encoding='utf-8').splitlines()


def without_comments(name):
    """The lines of a C file with comments and string literals blanked out."""
    text = (ROOT / name).read_text(encoding='utf-8')
    blank = lambda match: re.sub(r'[^\n]', ' ', match.group(0))
    return re.sub(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'|/\*.*?\*/|//[^\n]*', blank, text,
                  flags=re.S).splitlines()


def includes(name):
    for number, line in enumerate(lines_of(name), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match.group(1) == '<', match.group(2)


def room_of(name):
    parts = name.split('/')
    if parts[0] != 'engine':
        return None
    return parts[1] if len(parts) > 2 else 'cli'


def c_functions(name):
    """(line, length) of each function body: from its first line to the closing brace."""
    start = None
    for number, line in enumerate(without_comments(name), 1):
        if re.match(r'[A-Za-z_]', line):
            start = number
        elif line.startswith('}') and start:
            yield start, number - start + 1
            start = None


def python_functions(name):
    for node in ast.walk(ast.parse((ROOT / name).read_text())):
        if isinstance(node, ast.FunctionDef):
            yield node.lineno, node.end_lineno - node.lineno + 1


class Tidy(unittest.TestCase):
    C = tracked('*.c', '*.h')
    ENGINE = [name for name in C if re.match('engine/|operators/|include/', name)]
    PYTHON = tracked('*.py')
    SHELL = tracked('scripts/*', '.ci/run')
    TEXT = [name for name in tracked() if not re.search(r'\.(bin|gz|png|ico)$|/corpus/', name)]

    def none(self, broken):
        if broken:
            self.fail('\n'.join(['', *broken]))

    def test_files_are_at_most_500_lines(self):
        sizes = {name: len(lines_of(name)) for name in self.C + self.PYTHON + self.SHELL}
        self.none([f'{name}: {n} lines' for name, n in sizes.items() if n > FILE_LINES])

    def test_functions_are_at_most_70_lines(self):
        functions = [(name, *f) for name in self.C for f in c_functions(name)]
        functions += [(name, *f) for name in self.PYTHON for f in python_functions(name)]
        self.none([f'{name}:{line}: {n} lines' for name, line, n in functions
                   if n > FUNCTION_LINES])

    def test_lines_are_at_most_100_columns(self):
        self.none([f'{name}:{number}: {len(line)} columns'
                   for name in self.C + self.PYTHON + self.SHELL
                   for number, line in enumerate(lines_of(name), 1) if len(line) > COLUMNS])

    def test_every_c_file_opens_with_a_comment(self):
        self.none([name for name in self.C if not (ROOT / name).read_text().startswith('/*')])

    def test_rooms_include_only_what_lies_below_them(self):
        broken = []
        for name in self.ENGINE:
            room = room_of(name)
            for number, _, target in includes(name):
                other = room_of(target)
                if other and room is None:
                    broken.append(f'{name}:{number}: sees only <millrace/...>, not {target}')
                elif other and other != room and other not in ROOMS.get(room, set()):
                    broken.append(f'{name}:{number}: {room} must not know {other}')
                if target.startswith('operators/') and not name.startswith('operators/'):
                    broken.append(f'{name}:{number}: the engine never names an operator')
        self.none(broken)

    def test_a_room_is_entered_by_its_door(self):
        self.none([f'{name}:{number}: {target} is private to its room'
                   for name in self.ENGINE for number, _, target in includes(name)
                   if room_of(target) not in (None, room_of(name))
                   and target != 'engine/{0}/{0}.h'.format(room_of(target))])

    def test_each_library_enters_at_one_place(self):
        self.none([f'{name}:{number}: {target}'
                   for name in self.ENGINE for number, _, target in includes(name)
                   if target in LIBRARIES and not re.fullmatch(LIBRARIES[target], name)])

    def test_the_contract_needs_libc_only(self):
        self.none([f'{name}:{number}: {target}'
                   for name in self.C if name.startswith('include/')
                   for number, angled, target in includes(name)
                   if not angled or ('/' in target and not target.startswith('millrace/'))])

    def test_no_call_that_cannot_know_its_bounds(self):
        banned = re.compile(r'\b(%s)\s*\(' % '|'.join(BANNED_CALLS))
        self.none([f'{name}:{number}: {match.group(1)}' for name in self.C
                   for number, line in enumerate(without_comments(name), 1)
                   for match in [banned.search(line)] if match])

    def test_a_branch_or_loop_has_braces(self):
        bare = re.compile(r'\s*(?:\} )?(?:(?:if|for|while|else if) \(.*\)(?: [^{]*;)?|else)$')
        whole = lambda line: line.count('(') == line.count(')')
        self.none([f'{name}:{number}: {line.strip()}' for name in self.C
                   for number, line in enumerate(without_comments(name), 1)
                   if bare.match(line.rstrip()) and whole(line)])

    def test_nothing_unfinished_is_marked(self):
        mark = re.compile(r'\b(%s)\b' % '|'.join(['TO' 'DO', 'FIX' 'ME', 'XX' 'X', 'HA' 'CK']))
        self.none([f'{name}:{number}: {line.strip()}' for name in self.TEXT
                   for number, line in enumerate(lines_of(name), 1) if mark.search(line)])

    def test_no_path_of_one_machine(self):
        path = re.compile(r'(^|[^A-Za-z.])/(work|farm|root|home)/')
        self.none([f'{name}:{number}: {line.strip()}' for name in self.TEXT
                   for number, line in enumerate(lines_of(name), 1) if path.search(line)])

    def test_tests_wait_for_conditions_and_do_not_sleep(self):
        nap = re.compile(r'\b(u|nano)?sleep\(')
        self.none([f'{name}:{number}' for name in self.TEXT if name.startswith('tests/')
                   for number, line in enumerate(lines_of(name), 1) if nap.search(line)])

    def test_unit_tests_mirror_the_tree(self):
        def mirrored(name):
            room = name.split('/')[2]
            return any((ROOT / base / room).is_dir() for base in ('engine', 'operators')) or (
                room == 'operators')
        self.none([name for name in tracked('tests/unit/*.c') if not mirrored(name)])

    def test_every_job_that_ships_has_cases(self):
        broken = []
        for job in tracked('jobs/*.yaml'):
            cases = re.search(r'^tests:\s*\[([^\]]*)\]', (ROOT / job).read_text(), re.M)
            names = [case.strip() for case in cases.group(1).split(',')] if cases else []
            broken += [job] if not names else []
            broken += [f'{job}: {case}' for case in names
                       if not (ROOT / 'jobs' / case).is_file()]
        self.none(broken)

    def test_scripts_are_executable_and_of_bash(self):
        self.none([name for name in self.SHELL if not (ROOT / name).stat().st_mode & 0o111
                   or lines_of(name)[0] != '#!/usr/bin/env bash'])

    @unittest.skipUnless(shutil.which('clang-format'), 'clang-format is not installed')
    def test_clang_format_changes_nothing(self):
        found = subprocess.run(['clang-format', '--dry-run', *self.C], cwd=ROOT,
                               capture_output=True, text=True, check=False).stderr
        self.none(sorted({line.split(':')[0]
                          for line in found.splitlines() if ': warning' in line}))

    def test_symbols_that_others_can_see_begin_with_mr(self):
        archive = ROOT / 'build/debug/libmillrace.a'
        if not archive.is_file():
            self.skipTest('the debug build is not there')
        names = subprocess.run(['nm', '-g', '--defined-only', '--format=just-symbols', archive],
                               capture_output=True, text=True, check=True).stdout.split()
        self.none(sorted({name for name in names
                          if not re.match(r'mr_|__|_|.*:$|\S+\.o', name)}))


if __name__ == '__main__':
    unittest.main()
