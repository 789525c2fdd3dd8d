"""Changes a vault's database behind the daemon's back, and prints what it changed, as the daemon should name it.

usage: store.py DATABASE flip|drop|swap|save|load|count KIND [FILE]

flip: one bit in the middle of the newest record of the kind; drop: it is deleted; swap: the contents of the two
newest change places; save, load: its row to and from FILE; count: how many there are.
"""

import json
import sqlite3
import sys

NAMES = {1: "head", 2: "configuration", 3: "officers", 4: "policy", 5: "references", 6: "parent key", 7: "lease",
         8: "hold", 9: "proposal", 10: "log entry", 11: "checkpoint", 12: "vault"}
NUMBERED = (2, 10, 11)


def name(kind, ident):
    if kind in NUMBERED:
        return f"{NAMES[kind]} {int.from_bytes(ident, 'big')}"
    if not any(ident):
        return NAMES[kind]
    return f"{NAMES[kind]} {(ident if any(ident[16:]) else ident[:16]).hex()}"


def main():
    database, command, word = sys.argv[1:4]
    kind = next(number for number, text in NAMES.items() if text == word)
    db = sqlite3.connect(database, timeout=10)
    rows = db.execute("SELECT id, version, data FROM record WHERE kind = ? ORDER BY version DESC, id DESC",
                      (kind,)).fetchall()
    if command == "count":
        print(len(rows))
        return
    if command == "load":
        with open(sys.argv[4], encoding="ascii") as file:
            ident, version, data = json.load(file)
        db.execute("INSERT OR REPLACE INTO record (kind, id, version, data) VALUES (?, ?, ?, ?)",
                   (kind, bytes.fromhex(ident), version, bytes.fromhex(data)))
        print(name(kind, bytes.fromhex(ident)))
        db.commit()
        return
    ident, version, data = rows[0]
    if command == "save":
        with open(sys.argv[4], "w", encoding="ascii") as file:
            json.dump([ident.hex(), version, data.hex()], file)
    elif command == "flip":
        changed = bytearray(data)
        changed[len(changed) // 2] ^= 1
        db.execute("UPDATE record SET data = ? WHERE kind = ? AND id = ?", (bytes(changed), kind, ident))
    elif command == "drop":
        db.execute("DELETE FROM record WHERE kind = ? AND id = ?", (kind, ident))
    elif command == "swap":
        other = rows[1]
        db.execute("UPDATE record SET data = ?, version = ? WHERE kind = ? AND id = ?",
                   (other[2], other[1], kind, ident))
        db.execute("UPDATE record SET data = ?, version = ? WHERE kind = ? AND id = ?",
                   (data, version, kind, other[0]))
    db.commit()
    print(name(kind, ident))


main()
