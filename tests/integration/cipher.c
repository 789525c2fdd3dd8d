/* Enciphers and deciphers through the module, of every length around what one message carries and of more:
 * each AES mechanism, in one part and in parts of several sizes. What comes back must be what went in, and
 * what one message decides (GCM's limit) must be refused before anything is enciphered that could not be
 * deciphered.
 *
 * usage: cipher MODULE ROLE. Prints "N round trips, N refused"; exit status 1 where something was wrong. */
#include "pkcs11_client.h"

#include "base/macro.h"
#include "p11/mechanism.h"

#include <stdbool.h>
#include <stdint.h>

#define MESSAGE 122880u /* bytes of data in one request */
#define LONGEST 1048576u
#define ROOM (LONGEST + 64u)

typedef CK_RV (*init_fn)(CK_SESSION_HANDLE, CK_MECHANISM *, CK_OBJECT_HANDLE);
typedef CK_RV (*once_fn)(CK_SESSION_HANDLE, CK_BYTE *, CK_ULONG, CK_BYTE *, CK_ULONG *);
typedef CK_RV (*final_fn)(CK_SESSION_HANDLE, CK_BYTE *, CK_ULONG *);

typedef struct {
    init_fn init;
    once_fn once;
    once_fn update;
    final_fn final;
} direction;

typedef struct {
    const char *name;
    CK_MECHANISM mechanism;
    bool whole_blocks; /* takes whole blocks only */
    CK_ULONG max;      /* bytes that it enciphers; 0: any number */
} cipher;

static client c;
static CK_OBJECT_HANDLE key;
static unsigned round_trips, refused, wrong;

static void expect(const cipher *m, const char *what, CK_ULONG len, CK_ULONG step, CK_RV got, CK_RV want)
{
    if (got == want)
        return;
    (void)printf("%s: %s of %lu bytes in parts of %lu (0: in one): %s, not 0x%08lx\n", m->name, what, len,
        step, client_name(got), want);
    wrong++;
}

/* In one part where step is 0, else in parts of step bytes. */
static CK_RV run(const direction *d, const cipher *m, CK_ULONG step, CK_BYTE *in, CK_ULONG len, CK_BYTE *out,
    CK_ULONG *ret_len)
{
    CK_MECHANISM mechanism = m->mechanism;
    CK_RV rv = d->init(c.session, &mechanism, key);
    *ret_len = ROOM;
    if (rv != CKR_OK || step == 0)
        return rv == CKR_OK ? d->once(c.session, in, len, out, ret_len) : rv;
    CK_ULONG total = 0;
    for (CK_ULONG at = 0; at < len; at += step) {
        CK_ULONG got = ROOM - total;
        rv = d->update(c.session, in + at, len - at < step ? len - at : step, out + total, &got);
        if (rv != CKR_OK)
            return rv;
        total += got;
    }
    CK_ULONG got = ROOM - total;
    rv = d->final(c.session, out + total, &got);
    *ret_len = total + got;
    return rv;
}

static CK_BYTE clear[ROOM], sealed[ROOM], other[ROOM];

static void try_length(const cipher *m, CK_ULONG len)
{
    static const CK_ULONG steps[] = {0, 50001, MESSAGE - 1, MESSAGE, LONGEST};
    const direction encrypt = {c.f->C_EncryptInit, c.f->C_Encrypt, c.f->C_EncryptUpdate, c.f->C_EncryptFinal};
    const direction decrypt = {c.f->C_DecryptInit, c.f->C_Decrypt, c.f->C_DecryptUpdate, c.f->C_DecryptFinal};
    bool good = (!m->whole_blocks || len % 16 == 0) && (m->max == 0 || len <= m->max);
    CK_ULONG first = 0;
    for (size_t i = 0; i < LH_ARRAY_LEN(steps); i++) {
        CK_ULONG n = 0;
        CK_RV rv = run(&encrypt, m, steps[i], clear, len, i == 0 ? sealed : other, &n);
        expect(m, "enciphering", len, steps[i], rv, good ? CKR_OK : CKR_DATA_LEN_RANGE);
        refused += rv == CKR_DATA_LEN_RANGE;
        if (i == 0)
            first = n;
        else if (good && rv == CKR_OK && (n != first || memcmp(sealed, other, n) != 0))
            expect(m, "another ciphertext", len, steps[i], CKR_GENERAL_ERROR, CKR_OK);
    }
    for (size_t i = 0; good && i < LH_ARRAY_LEN(steps); i++) {
        CK_ULONG n = 0;
        CK_RV rv = run(&decrypt, m, steps[i], sealed, first, other, &n);
        expect(m, "deciphering", len, steps[i], rv, CKR_OK);
        if (rv == CKR_OK && (n != len || memcmp(clear, other, n) != 0))
            expect(m, "another text", len, steps[i], CKR_GENERAL_ERROR, CKR_OK);
        round_trips += rv == CKR_OK;
    }
}

/* What is longer than any ciphertext that could have been made. */
static void too_long_to_decipher(const cipher *m)
{
    const direction decrypt = {c.f->C_DecryptInit, c.f->C_Decrypt, c.f->C_DecryptUpdate, c.f->C_DecryptFinal};
    static const CK_ULONG steps[] = {0, 50001};
    for (size_t i = 0; i < LH_ARRAY_LEN(steps); i++) {
        CK_ULONG n = 0;
        CK_RV rv = run(&decrypt, m, steps[i], clear, MESSAGE + 1, other, &n);
        expect(m, "deciphering", MESSAGE + 1, steps[i], rv, CKR_ENCRYPTED_DATA_LEN_RANGE);
        refused += rv == CKR_ENCRYPTED_DATA_LEN_RANGE;
    }
}

static void iv_lengths(void)
{
    static CK_BYTE iv[LH_GCM_IV_MAX + 1];
    CK_GCM_PARAMS gcm = {.pIv = iv, .ulIvLen = LH_GCM_IV_MAX, .ulTagBits = 128};
    const cipher m = {"aes-gcm, longest IV", {CKM_AES_GCM, &gcm, sizeof gcm}, false, 0};
    try_length(&m, 100);
    gcm.ulIvLen++;
    CK_MECHANISM mechanism = m.mechanism;
    expect(&m, "too long an IV", gcm.ulIvLen, 0, c.f->C_EncryptInit(c.session, &mechanism, key),
        CKR_MECHANISM_PARAM_INVALID);
}

int main(int argc, char **argv)
{
    client_load(&c, argc > 2 ? argv[1] : NULL);
    client_check("find", client_find(&c, argv[2], CKO_SECRET_KEY, &key));
    for (size_t i = 0; i < LONGEST; i++)
        clear[i] = (CK_BYTE)(i * 2654435761u >> 24);
    static CK_BYTE iv[16] = {1, 2, 3};
    CK_AES_CTR_PARAMS ctr = {128, {1}};
    CK_GCM_PARAMS gcm = {.pIv = iv, .ulIvLen = 12, .ulTagBits = 128};
    CK_GCM_PARAMS gcm96 = {.pIv = iv, .ulIvLen = 12, .ulTagBits = 96};
    const cipher ciphers[] = {
        {"aes-ecb", {CKM_AES_ECB, NULL, 0}, true, 0},
        {"aes-cbc", {CKM_AES_CBC, iv, sizeof iv}, true, 0},
        {"aes-cbc-pad", {CKM_AES_CBC_PAD, iv, sizeof iv}, false, 0},
        {"aes-ctr", {CKM_AES_CTR, &ctr, sizeof ctr}, false, 0},
        {"aes-gcm", {CKM_AES_GCM, &gcm, sizeof gcm}, false, MESSAGE - 16},
        {"aes-gcm with a tag of 96 bits", {CKM_AES_GCM, &gcm96, sizeof gcm96}, false, MESSAGE - 12},
    };
    static const CK_ULONG lengths[] = {16, 200000, LONGEST};
    for (size_t i = 0; i < LH_ARRAY_LEN(ciphers); i++) {
        for (CK_ULONG len = MESSAGE - 17; len <= MESSAGE + 1; len++)
            try_length(&ciphers[i], len);
        for (size_t j = 0; j < LH_ARRAY_LEN(lengths); j++)
            try_length(&ciphers[i], lengths[j]);
        if (ciphers[i].max != 0)
            too_long_to_decipher(&ciphers[i]);
    }
    iv_lengths();
    (void)printf("%u round trips, %u refused, %u wrong\n", round_trips, refused, wrong);
    return wrong != 0;
}
