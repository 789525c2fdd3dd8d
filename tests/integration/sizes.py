"""RSA keys and attribute values at their bounds, in a standalone partition; what is signed and encrypted is compared
with what the openssl command makes of the same keys. Usage: sizes.py MODULE TOKEN PIN FOLDER values|BITS…"""

import subprocess
import sys

import PyKCS11
from PyKCS11 import LowLevel as CK

module, label, pin, folder = sys.argv[1:5]
lib = PyKCS11.PyKCS11Lib()
lib.load(module)
slot = next(s for s in lib.getSlotList(tokenPresent=True) if lib.getTokenInfo(s).label.strip("\0 ") == label)
session = lib.openSession(slot, CK.CKF_SERIAL_SESSION | CK.CKF_RW_SESSION)
session.login(pin)


def openssl(*args, data=b""):
    return subprocess.run(["openssl", *args], input=data, check=True, stdout=subprocess.PIPE).stdout


def refusal(function, *args):
    try:
        function(*args)
    except PyKCS11.PyKCS11Error as error:
        return PyKCS11.CKR.get(error.value, error.value)
    return "nothing"


def check(what, good):
    if not good:
        sys.exit("wrong: " + what)


def parts_of(file):
    """The numbers of a private key, from what openssl prints: name -> bytes"""
    parts, name = {}, None
    for line in openssl("rsa", "-in", file, "-noout", "-text").decode().splitlines():
        if not line.startswith(" "):
            name, _, rest = line.partition(":")
            parts[name] = ""
        else:
            parts[name] += line.strip().replace(":", "")
    return {name: bytes.fromhex(text).lstrip(b"\0") for name, text in parts.items() if text}


def import_pair(file):
    p = parts_of(file)
    common = [(CK.CKA_KEY_TYPE, CK.CKK_RSA), (CK.CKA_TOKEN, False), (CK.CKA_MODULUS, p["modulus"]),
              (CK.CKA_PUBLIC_EXPONENT, b"\1\0\1")]
    public = session.createObject(common + [
        (CK.CKA_CLASS, CK.CKO_PUBLIC_KEY), (CK.CKA_VERIFY, True), (CK.CKA_ENCRYPT, True)])
    private = session.createObject(common + [
        (CK.CKA_CLASS, CK.CKO_PRIVATE_KEY), (CK.CKA_SIGN, True), (CK.CKA_DECRYPT, True),
        (CK.CKA_PRIVATE_EXPONENT, p["privateExponent"]), (CK.CKA_PRIME_1, p["prime1"]),
        (CK.CKA_PRIME_2, p["prime2"]), (CK.CKA_EXPONENT_1, p["exponent1"]), (CK.CKA_EXPONENT_2, p["exponent2"]),
        (CK.CKA_COEFFICIENT, p["coefficient"])])
    return public, private


def write(name, data):
    with open(folder + "/" + name, "wb") as f:
        f.write(bytes(data))
    return folder + "/" + name


def rsa(bits):
    file = folder + "/rsa%s.pem" % bits
    public, private = import_pair(file)
    data = b"what is signed with %s bits" % bits.encode()
    pss = PyKCS11.RSA_PSS_Mechanism(CK.CKM_SHA256_RSA_PKCS_PSS, CK.CKM_SHA256, CK.CKG_MGF1_SHA256, 32)
    pss_options = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"]
    for mechanism, digest, options in (
            (PyKCS11.Mechanism(CK.CKM_SHA1_RSA_PKCS), "-sha1", []),
            (PyKCS11.Mechanism(CK.CKM_SHA256_RSA_PKCS), "-sha256", []),
            (PyKCS11.Mechanism(CK.CKM_SHA512_RSA_PKCS), "-sha512", []),
            (pss, "-sha256", pss_options)):
        signature = bytes(session.sign(private, data, mechanism))
        check("length of a signature", len(signature) == (int(bits) + 7) // 8)
        openssl("dgst", digest, "-prverify", file, *options, "-signature", write("sig", signature), data=data)
        theirs = openssl("dgst", digest, "-sign", file, *options, data=data)
        check("their signature", session.verify(public, data, theirs, mechanism))
        check("another's signature", not session.verify(public, data + b".", theirs, mechanism))
    for mechanism, options in (
            (PyKCS11.Mechanism(CK.CKM_RSA_PKCS), ["rsa_padding_mode:pkcs1"]),
            (PyKCS11.RSAOAEPMechanism(CK.CKM_SHA256, CK.CKG_MGF1_SHA256),
             ["rsa_padding_mode:oaep", "rsa_oaep_md:sha256", "rsa_mgf1_md:sha256"])):
        options = [word for option in options for word in ("-pkeyopt", option)]
        ours = bytes(session.encrypt(public, data, mechanism))
        check("our ciphertext", openssl("pkeyutl", "-decrypt", "-inkey", file, *options, data=ours) == data)
        theirs = openssl("pkeyutl", "-encrypt", "-inkey", file, *options, data=data)
        check("their ciphertext", bytes(session.decrypt(private, theirs, mechanism)) == data)
    raw = PyKCS11.Mechanism(CK.CKM_RSA_X_509)
    ours = bytes(session.encrypt(public, data, raw))
    check("a raw ciphertext", bytes(session.decrypt(private, ours, raw)).lstrip(b"\0") == data)


def data_object(size, token=True, label_size=4):
    return session.createObject([
        (CK.CKA_CLASS, CK.CKO_DATA), (CK.CKA_TOKEN, token), (CK.CKA_PRIVATE, True),
        (CK.CKA_LABEL, b"l" * label_size), (CK.CKA_VALUE, bytes(i % 251 for i in range(size)))])


def values():
    most = 57344
    for token in (True, False):
        made = data_object(most, token)
        got = bytes(session.getAttributeValue(made, [CK.CKA_VALUE])[0])
        check("a value of %d bytes" % most, got == bytes(i % 251 for i in range(most)))
        check("a longer one", refusal(data_object, most + 1, token) == "CKR_ATTRIBUTE_VALUE_INVALID")
        check("a far longer one", refusal(data_object, 1 << 20, token) == "CKR_ATTRIBUTE_VALUE_INVALID")
        check("a long template", refusal(data_object, most, token, 8192) == "CKR_DEVICE_MEMORY")
    check("the session goes on", data_object(1))


for what in sys.argv[5:]:
    values() if what == "values" else rsa(what)
