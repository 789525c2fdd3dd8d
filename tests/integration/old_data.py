"""What a partition does with old data: reads what openssl made with MD5, 3DES and RSA-1024, and makes nothing new.
Usage: old_data.py MODULE TOKEN PIN FOLDER refused|reads|all"""

import sys

import PyKCS11
from PyKCS11 import LowLevel as CK

module, label, pin, folder, mode = sys.argv[1:]
lib = PyKCS11.PyKCS11Lib()
lib.load(module)
slot = next(s for s in lib.getSlotList(tokenPresent=True) if lib.getTokenInfo(s).label.strip("\0 ") == label)
session = lib.openSession(slot, CK.CKF_SERIAL_SESSION | CK.CKF_RW_SESSION)
session.login(pin)


def read(name):
    with open(folder + "/" + name, "rb") as f:
        return f.read()


def must(what, wanted, function, *args):
    """wanted: a value, or the name of the CKR_ that it is refused with"""
    try:
        got = function(*args)
    except PyKCS11.PyKCS11Error as error:
        got = CK.__dict__.get(error.value, None) or PyKCS11.CKR.get(error.value, error.value)
    if isinstance(got, list) or type(got).__name__ == "ckbytelist":
        got = bytes(got)
    if wanted is not None and got != wanted:
        sys.exit("%s: %r, expected %r" % (what, got, wanted))
    return got


def public(modulus):
    return session.createObject([
        (CK.CKA_CLASS, CK.CKO_PUBLIC_KEY), (CK.CKA_KEY_TYPE, CK.CKK_RSA), (CK.CKA_TOKEN, False),
        (CK.CKA_VERIFY, True), (CK.CKA_ENCRYPT, True), (CK.CKA_MODULUS, bytes.fromhex(modulus)),
        (CK.CKA_PUBLIC_EXPONENT, b"\1\0\1")])


def pair(bits):
    return session.generateKeyPair(
        [(CK.CKA_MODULUS_BITS, bits), (CK.CKA_PUBLIC_EXPONENT, b"\1\0\1"), (CK.CKA_TOKEN, False)],
        [(CK.CKA_TOKEN, False), (CK.CKA_SIGN, True)])


def mechanism(number, parameter=None):
    return PyKCS11.Mechanism(number, parameter)


data = read("data")
md5 = mechanism(CK.CKM_MD5_RSA_PKCS)
sha256 = mechanism(CK.CKM_SHA256_RSA_PKCS)
des3 = mechanism(CK.CKM_DES3_CBC_PAD, bytes(range(8)))
invalid, short = "CKR_MECHANISM_INVALID", "CKR_KEY_SIZE_RANGE"
reads, writes = mode != "refused", mode == "all"

long_key, short_key = public(read("rsa2048.n").decode()), public(read("rsa1024.n").decode())
des3_key = session.createObject([
    (CK.CKA_CLASS, CK.CKO_SECRET_KEY), (CK.CKA_KEY_TYPE, CK.CKK_DES3), (CK.CKA_TOKEN, False),
    (CK.CKA_ENCRYPT, True), (CK.CKA_DECRYPT, True), (CK.CKA_VALUE, bytes.fromhex(read("des3.key").decode()))])

must("RSA-2048 SHA-256", True, session.verify, long_key, data, read("sha256-2048.sig"), sha256)
must("RSA-1024 SHA-256", True if reads else short, session.verify, short_key, data, read("sha256-1024.sig"), sha256)
must("RSA-2048 MD5", True if reads else invalid, session.verify, long_key, data, read("md5-2048.sig"), md5)
must("3DES", data if reads else invalid, session.decrypt, des3_key, read("des3.data"), des3)

ours = pair(2048)[1]
for what, function, args, why in (
    ("signing with MD5", session.sign, (ours, data, md5), invalid),
    ("encrypting with 3DES", session.encrypt, (des3_key, data, des3), invalid),
    ("encrypting with RSA-1024", session.encrypt, (short_key, b"x", mechanism(CK.CKM_RSA_PKCS)), short),
):
    if writes:
        if isinstance(must(what, None, function, *args), str):
            sys.exit("%s is refused" % what)
    else:
        must(what, why, function, *args)
must("RSA-1024 is generated", short, pair, 1024)
must("RSA-2047 is generated", short, pair, 2047)
must("RSA-8193 is generated", short, pair, 8193)

for number, known in ((CK.CKM_MD5_RSA_PKCS, reads), (CK.CKM_DES3_CBC_PAD, reads), (CK.CKM_DES3_ECB, writes)):
    if not known:
        must("what it says of a mechanism", invalid, lib.getMechanismInfo, slot, PyKCS11.CKM[number])
        continue
    flags = lib.getMechanismInfo(slot, PyKCS11.CKM[number]).flags
    made = flags & (CK.CKF_SIGN | CK.CKF_ENCRYPT | CK.CKF_WRAP)
    if bool(made) != writes or not flags & (CK.CKF_VERIFY | CK.CKF_DECRYPT):
        sys.exit("flags of mechanism %#x: %#x" % (number, flags))
