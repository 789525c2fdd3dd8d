"""One step of test_pykcs11.sh: pykcs11.py MODULE LABEL PIN KEY-LABEL STEP [ARGUMENTS]; fails by an exception."""
import hashlib
import sys
import threading

import PyKCS11 as P


def open_session(rw=True):
    slot = next(s for s in lib.getSlotList(tokenPresent=True) if lib.getTokenInfo(s).label.strip("\0 ") == LABEL)
    session = lib.openSession(slot, P.CKF_SERIAL_SESSION | (P.CKF_RW_SESSION if rw else 0))
    if PIN and session.getSessionInfo().state in (P.CKS_RO_PUBLIC_SESSION, P.CKS_RW_PUBLIC_SESSION):
        session.login(PIN)
    return session


def key(session, cls, label=None):
    return session.findObjects([(P.CKA_CLASS, cls), (P.CKA_LABEL, label or KEY)])[0]


def refused(code, function, *args):
    try:
        function(*args)
    except P.PyKCS11Error as error:
        assert error.value == code, error
        return
    raise AssertionError(f"{function} succeeded")


def generate(session, mechanism, label, public, private, token=True):
    ident = hashlib.sha1(label.encode()).digest()[:8]
    common = [(P.CKA_TOKEN, token), (P.CKA_LABEL, label), (P.CKA_ID, ident)]
    return session.generateKeyPair(
        [(P.CKA_CLASS, P.CKO_PUBLIC_KEY), (P.CKA_PRIVATE, False)] + common + public,
        [(P.CKA_CLASS, P.CKO_PRIVATE_KEY), (P.CKA_PRIVATE, True), (P.CKA_SENSITIVE, True)] + common + private,
        mecha=mechanism)


def rsa_pair(session, label):
    return generate(session, P.MechanismRSAGENERATEKEYPAIR, label,
                    [(P.CKA_MODULUS_BITS, 2048), (P.CKA_PUBLIC_EXPONENT, (1, 0, 1)), (P.CKA_ENCRYPT, True),
                     (P.CKA_VERIFY, True)], [(P.CKA_DECRYPT, True), (P.CKA_SIGN, True)])


def aes_key(session, label, attributes, token=False):
    return session.generateKey([(P.CKA_CLASS, P.CKO_SECRET_KEY), (P.CKA_KEY_TYPE, P.CKK_AES), (P.CKA_TOKEN, token),
                                (P.CKA_LABEL, label), (P.CKA_VALUE_LEN, 32), (P.CKA_SENSITIVE, True)] + attributes,
                               mecha=P.MechanismAESGENERATEKEY)


def ecdsa_der(raw):
    """r and s, each half of raw, as OpenSSL wants them."""
    def integer(data):
        data = bytes(data).lstrip(b"\0") or b"\0"
        data = b"\0" + data if data[0] & 0x80 else data
        return bytes([2, len(data)]) + data
    half = len(raw) // 2
    body = integer(raw[:half]) + integer(raw[half:])
    return bytes([0x30, len(body)]) + body


def shows():
    print(lib.getInfo())
    for slot in lib.getSlotList():
        print(lib.getSlotInfo(slot), lib.getTokenInfo(slot))
    slot = open_session(rw=False).getSessionInfo().slotID
    codes = P.LowLevel.ckintlist()
    for _ in range(2):  # getMechanismList stumbles over mechanisms newer than it is
        assert lib.lib.C_GetMechanismList(slot, codes) == P.CKR_OK
    for code in codes:
        if code in P.CKM:
            print(P.CKM[code], lib.getMechanismInfo(slot, P.CKM[code]).flags2text())


def lists():
    session = open_session(rw=False)
    found = session.findObjects()
    assert found
    for one in found:
        label, kind = session.getAttributeValue(one, [P.CKA_LABEL, P.CKA_KEY_TYPE])
        print(label, P.CKK.get(kind, kind))
    private = key(session, P.CKO_PRIVATE_KEY)
    values = session.getAttributeValue(private, [P.CKA_SENSITIVE, P.CKA_SIGN, P.CKA_EXTRACTABLE, P.CKA_VALUE, P.CKA_ID])
    assert values[0] and values[1] and not values[2] and values[3] is None, values
    public = key(session, P.CKO_PUBLIC_KEY)
    assert session.getAttributeValue(public, [P.CKA_ID])[0] == values[4]


def sign_ecdsa(data, out):
    session = open_session()
    raw = session.sign(key(session, P.CKO_PRIVATE_KEY), open(data, "rb").read(), P.Mechanism(P.CKM_ECDSA_SHA256, None))
    open(out, "wb").write(ecdsa_der(bytes(raw)))


def generate_pairs():
    session = open_session()
    p384 = bytes.fromhex("06052b81040022")
    for label, (public, private), mechanism in (
            ("py-ec", generate(session, P.MechanismECGENERATEKEYPAIR, "py-ec", [(P.CKA_EC_PARAMS, p384), (P.CKA_VERIFY, True)],
                               [(P.CKA_SIGN, True)]), P.Mechanism(P.CKM_ECDSA, None)),
            ("py-rsa", rsa_pair(session, "py-rsa"), P.Mechanism(P.CKM_SHA256_RSA_PKCS, None))):
        digest = hashlib.sha384(b"data").digest()
        signature = session.sign(private, digest, mechanism)
        assert session.verify(public, digest, signature, mechanism)
        assert not session.verify(public, digest[1:] + b"x", signature, mechanism)
        assert key(session, P.CKO_PRIVATE_KEY, label) is not None
    pss = P.RSA_PSS_Mechanism(P.CKM_SHA256_RSA_PKCS_PSS, P.CKM_SHA256, P.CKG_MGF1_SHA256, 32)
    private = key(session, P.CKO_PRIVATE_KEY, "py-rsa")
    assert session.verify(key(session, P.CKO_PUBLIC_KEY, "py-rsa"), b"data", session.sign(private, b"data", pss), pss)


def encrypt():
    session = open_session()
    public, private = rsa_pair(session, "py-rsa2")
    oaep = P.RSAOAEPMechanism(P.CKM_SHA_1, P.CKG_MGF1_SHA1)
    assert bytes(session.decrypt(private, session.encrypt(public, b"short", oaep), oaep)) == b"short"
    secret = aes_key(session, "py-aes", [(P.CKA_ENCRYPT, True), (P.CKA_DECRYPT, True)])
    text = bytes(range(200))
    cbc = P.Mechanism(P.CKM_AES_CBC_PAD, bytes(16))
    assert bytes(session.decrypt(secret, session.encrypt(secret, text, cbc), cbc)) == text
    gcm = P.AES_GCM_Mechanism(bytes(range(12)), b"header", 128)
    sealed = session.encrypt(secret, text, gcm)
    assert len(sealed) == len(text) + 16
    assert bytes(session.decrypt(secret, sealed, gcm)) == text
    sealed[0] ^= 1
    try:
        session.decrypt(secret, sealed, gcm)
    except P.PyKCS11Error:
        return
    raise AssertionError("a changed ciphertext was decrypted")


def wrap():
    session = open_session()
    outer = aes_key(session, "py-wrap", [(P.CKA_WRAP, True), (P.CKA_UNWRAP, True)])
    inner = aes_key(session, "py-wrapped", [(P.CKA_EXTRACTABLE, True), (P.CKA_ENCRYPT, True), (P.CKA_DECRYPT, True)])
    mechanism = P.Mechanism(P.CKM_AES_KEY_WRAP, None)
    wrapped = session.wrapKey(outer, inner, mechanism)
    again = session.unwrapKey(outer, wrapped, [
        (P.CKA_CLASS, P.CKO_SECRET_KEY), (P.CKA_KEY_TYPE, P.CKK_AES), (P.CKA_TOKEN, False), (P.CKA_DECRYPT, True)], mechanism)
    cbc = P.Mechanism(P.CKM_AES_CBC_PAD, bytes(16))
    assert bytes(session.decrypt(again, session.encrypt(inner, b"the same key", cbc), cbc)) == b"the same key"


def objects():
    session = open_session()
    one = session.createObject([(P.CKA_CLASS, P.CKO_DATA), (P.CKA_TOKEN, True), (P.CKA_PRIVATE, True), (P.CKA_LABEL, "py-data"),
                                (P.CKA_MODIFIABLE, True), (P.CKA_VALUE, b"12345")])
    session.setAttributeValue(one, [(P.CKA_LABEL, "py-renamed")])
    assert not session.findObjects([(P.CKA_LABEL, "py-data")])
    found = session.findObjects([(P.CKA_LABEL, "py-renamed"), (P.CKA_CLASS, P.CKO_DATA)])
    assert len(found) == 1 and bytes(session.getAttributeValue(found[0], [P.CKA_VALUE])[0]) == b"12345"
    session.destroyObject(found[0])
    assert not session.findObjects([(P.CKA_LABEL, "py-renamed")])
    refused(P.CKR_OBJECT_HANDLE_INVALID, session.destroyObject, one)
    reader = open_session(rw=False)
    refused(P.CKR_SESSION_READ_ONLY, reader.createObject, [(P.CKA_CLASS, P.CKO_DATA), (P.CKA_TOKEN, True), (P.CKA_VALUE, b"1")])


def session_objects():
    keeper, session = open_session(), open_session()
    aes_key(session, "py-session", [(P.CKA_ENCRYPT, True)])
    assert len(keeper.findObjects([(P.CKA_LABEL, "py-session")])) == 1
    session.closeSession()
    assert not keeper.findObjects([(P.CKA_LABEL, "py-session")])


def logout():
    session = open_session()
    assert session.findObjects([(P.CKA_CLASS, P.CKO_PRIVATE_KEY)])
    session.logout()
    assert not session.findObjects([(P.CKA_CLASS, P.CKO_PRIVATE_KEY)])
    assert session.findObjects([(P.CKA_CLASS, P.CKO_PUBLIC_KEY)])
    refused(P.CKR_PIN_INCORRECT, session.login, "00000000")
    session.login(PIN)
    refused(P.CKR_USER_ALREADY_LOGGED_IN, session.login, PIN)


def pins(so_pin):
    session = open_session()
    session.setPin(PIN, "24682468")
    session.logout()
    refused(P.CKR_PIN_INCORRECT, session.login, PIN)
    session.login("24682468")
    session.logout()
    session.login(so_pin, P.CKU_SO)
    session.initPin(PIN)
    session.logout()
    session.login(PIN)


def digest():
    session = open_session()
    assert bytes(session.digest(b"data", P.Mechanism(P.CKM_SHA256, None))) == hashlib.sha256(b"data").digest()
    parts = session.digestSession(P.Mechanism(P.CKM_SHA512, None))
    parts.update(b"da")
    parts.update(b"ta")
    assert bytes(parts.final()) == hashlib.sha512(b"data").digest()
    first, second = bytes(session.generateRandom(64)), bytes(session.generateRandom(64))
    assert len(first) == 64 and first != second
    session.seedRandom(b"some noise")


def sessions(_public):
    results = []

    def work():
        session = open_session()
        private, public = key(session, P.CKO_PRIVATE_KEY), key(session, P.CKO_PUBLIC_KEY)
        mechanism = P.Mechanism(P.CKM_ECDSA, None)
        for number in range(10):
            hashed = hashlib.sha256(b"%d" % number).digest()
            assert session.verify(public, hashed, session.sign(private, hashed, mechanism), mechanism)
        results.append(1)

    keeper = open_session()  # the login is the process's as long as one session is open
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    keeper.closeSession()
    assert len(results) == 4


MODULE, LABEL, PIN, KEY, STEP = sys.argv[1:6]
lib = P.PyKCS11Lib()
lib.load(MODULE)
{function.__name__: function for function in (
    shows, lists, sign_ecdsa, generate_pairs, encrypt, wrap, objects, session_objects, logout, pins, digest, sessions)
 }[STEP](*sys.argv[6:])
