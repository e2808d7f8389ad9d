"""What a changelog says of the windows (engine/state/pack.c has the format), against the rows."""
from frames import read_varint


def cells(records):
    """A changelog replayed: (group, window start) -> (closed, how many closed rows it has had),
    or None where it was dropped."""
    found = {}
    for record in records:
        if record.key[:1] != b'w':
            continue
        start_ns = int.from_bytes(record.key[1:9], 'big') - 2**63
        cell = (record.key[9:].decode(),), start_ns
        found[cell] = record.value and (record.value[8] == 1, read_varint(record.value, 9)[0])
    return found


def faults(found, rows, retain_ns):
    """Where the changelog and the rows tell different stories, as text. A log may have forgotten
    what was dropped; that takes at least retain_ns of later windows."""
    newest_ns = max(start_ns for _, start_ns in rows.revisions)
    for cell, revisions in rows.revisions.items():
        if not found.get(cell):
            if cell[1] + retain_ns > newest_ns:
                yield f'{cell}: rows, but no cell'
        elif found[cell] != (True, len(revisions)):
            yield f'{cell}: {len(revisions)} rows, the cell says {found[cell]}'
    for cell in found:
        if cell not in rows.revisions:
            yield f'{cell}: a cell, but no row'
