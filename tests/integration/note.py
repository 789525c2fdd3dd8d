"""Takes checkpoints (C2SP signed notes) apart and alters them.

usage: note.py split NOTE KEYS BODY ED25519 P256   the signed text, and for each line NAME.key (DER) and NAME.sig
       note.py CHANGE NOTE                         prints the note with one thing changed
"""

import base64
import sys

ED25519_SPKI = bytes.fromhex("302a300506032b6570032100")
P256_SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")


def flip(text, at):
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1:]


def split(note, keys, body, ed25519, p256):
    text, signatures = note.split("\n\n")
    with open(body, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    with open(keys, encoding="utf-8") as file:
        for line in file:
            name, ident, key = line.strip().split("+", 2)
            key = base64.b64decode(key)
            out = ed25519 if key[0] == 1 else p256
            spki = ED25519_SPKI + key[1:] if key[0] == 1 else P256_SPKI + key[-65:]
            signature = next(base64.b64decode(s.split(" ")[2]) for s in signatures.strip().split("\n")
                             if s.split(" ")[1] == name and base64.b64decode(s.split(" ")[2])[:4].hex() == ident)
            with open(out + ".key", "wb") as file2:
                file2.write(spki)
            with open(out + ".sig", "wb") as file2:
                file2.write(signature[4:])


def change(note, what):
    text, signatures = note.split("\n\n")
    lines = text.split("\n")
    signatures = signatures.strip().split("\n")
    ed25519 = 0 if len(base64.b64decode(signatures[0].split(" ")[2])) == 68 else 1
    if what == "origin":
        lines[0] = flip(lines[0], 15)
    elif what == "size":
        lines[1] = str(int(lines[1]) - 1)
    elif what == "root":
        lines[2] = flip(lines[2], 5)
    elif what == "extension":
        lines[3] = flip(lines[3], 3)
    else:
        at = ed25519 if what.endswith("ed25519") else 1 - ed25519
        if what.startswith("drop"):
            del signatures[at]
        else:
            signatures[at] = flip(signatures[at], len(signatures[at]) - 12)
    print("\n".join(lines) + "\n\n" + "\n".join(signatures))


def main():
    with open(sys.argv[2], encoding="utf-8") as file:
        note = file.read()
    if sys.argv[1] == "split":
        split(note, *sys.argv[3:])
    else:
        change(note, sys.argv[1])


main()
