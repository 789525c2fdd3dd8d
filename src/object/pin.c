#include "object/pin.h"

#include "crypto/hash.h"
#include "crypto/pin.h"

/* 16 MiB and about 50 ms on the machines of 2024. */
#define LOG_N 14
#define BLOCK_R 8
#define PARALLEL_P 1

enum { STATE_SET = 1 };

lh_err lh_pin_check_length(lh_bytes pin)
{
    if (pin.len < LH_PIN_MIN || pin.len > LH_PIN_MAX)
        return LH_REFUSE(LH_E_INVALID, "pin-len-range", "a PIN has %u to %u bytes", LH_PIN_MIN, LH_PIN_MAX);
    return LH_SUCCESS;
}

/* The pepper goes in before the stretching, keyed, so that neither the PIN's length nor its bytes matter to
 * scrypt. */
static lh_err stretch(lh_crypto *crypto, const lh_secret *pepper, const lh_pin_verifier *verifier,
    lh_bytes pin, uint8_t ret[LH_PIN_CHECK_SIZE])
{
    uint8_t peppered[LH_SHA256_SIZE];
    lh_scrypt_cost cost = {verifier->log_n, verifier->r, verifier->p};
    LH_TRY(lh_hmac_sha256(crypto, lh_secret_bytes(pepper), &pin, 1, peppered));
    lh_err err = lh_scrypt(crypto, LH_BYTES(peppered, sizeof(peppered)),
        LH_BYTES(verifier->salt, sizeof(verifier->salt)), cost, ret, LH_PIN_CHECK_SIZE);
    explicit_bzero(peppered, sizeof(peppered));
    return err;
}

lh_err lh_pin_verifier_make(lh_crypto *crypto, const lh_secret *pepper, lh_bytes pin, lh_pin_verifier *ret)
{
    lh_pin_verifier verifier = {.log_n = LOG_N, .r = BLOCK_R, .p = PARALLEL_P};
    lh_random(verifier.salt, sizeof(verifier.salt));
    LH_TRY(stretch(crypto, pepper, &verifier, pin, verifier.check));
    *ret = verifier;
    return LH_SUCCESS;
}

lh_err lh_pin_verifier_check(lh_crypto *crypto, const lh_secret *pepper, const lh_pin_verifier *verifier,
    lh_bytes pin, bool *ret_right)
{
    uint8_t check[LH_PIN_CHECK_SIZE];
    LH_TRY(stretch(crypto, pepper, verifier, pin, check));
    *ret_right = lh_equal_ct(check, verifier->check, sizeof(check));
    explicit_bzero(check, sizeof(check));
    return LH_SUCCESS;
}

/* --- encoding --- */

void lh_pin_verifier_put(const lh_pin_verifier *verifier, lh_buf *out)
{
    lh_put_u8(out, verifier->log_n);
    lh_put_u8(out, verifier->r);
    lh_put_u8(out, verifier->p);
    lh_put_raw(out, verifier->salt, sizeof(verifier->salt));
    lh_put_raw(out, verifier->check, sizeof(verifier->check));
}

lh_err lh_pin_verifier_read(lh_reader *reader, lh_pin_verifier *ret)
{
    lh_pin_verifier verifier = {.log_n = lh_read_u8(reader)};
    verifier.r = lh_read_u8(reader);
    verifier.p = lh_read_u8(reader);
    lh_read_into(reader, verifier.salt, sizeof(verifier.salt));
    lh_read_into(reader, verifier.check, sizeof(verifier.check));
    if (reader->bad || verifier.log_n < LH_SCRYPT_LOG_N_MIN || verifier.log_n > LH_SCRYPT_LOG_N_MAX ||
        verifier.r < 1 || verifier.r > LH_SCRYPT_R_MAX || verifier.p < 1 || verifier.p > LH_SCRYPT_P_MAX)
        return LH_REFUSE(LH_E_INVALID, "pin-verifier", "these bytes are no PIN's verifier");
    *ret = verifier;
    return LH_SUCCESS;
}

lh_err lh_pin_verifier_decode(lh_bytes bytes, lh_pin_verifier *ret)
{
    lh_reader reader = lh_reader_new(bytes);
    lh_pin_verifier verifier;
    LH_TRY(lh_pin_verifier_read(&reader, &verifier));
    if (reader.left != 0)
        return LH_REFUSE(LH_E_INVALID, "pin-verifier", "these bytes are no PIN's verifier");
    *ret = verifier;
    return LH_SUCCESS;
}

void lh_pin_put(const lh_pin *pin, lh_buf *out)
{
    lh_put_u8(out, pin->set ? STATE_SET : 0);
    if (pin->set)
        lh_pin_verifier_put(&pin->verifier, out);
    lh_put_u64(out, pin->generation);
    lh_put_u32(out, pin->failures);
    lh_put_u64(out, (uint64_t)pin->failed_ms);
    lh_put_raw(out, pin->failed_boot, sizeof(pin->failed_boot));
}

lh_err lh_pin_read(lh_reader *reader, lh_pin *ret)
{
    lh_pin pin = {.set = false};
    uint8_t state = lh_read_u8(reader);
    if (state > STATE_SET)
        return LH_RAISE(LH_E_INVALID, state);
    pin.set = state == STATE_SET;
    if (pin.set)
        LH_TRY(lh_pin_verifier_read(reader, &pin.verifier));
    pin.generation = lh_read_u64(reader);
    pin.failures = lh_read_u32(reader);
    pin.failed_ms = (int64_t)lh_read_u64(reader);
    lh_read_into(reader, pin.failed_boot, sizeof(pin.failed_boot));
    if (reader->bad || pin.failures > LH_PIN_FINAL_FAILURES || pin.failed_ms < 0)
        return LH_RAISE(LH_E_INVALID, 0);
    *ret = pin;
    return LH_SUCCESS;
}

/* --- counting --- */

int64_t lh_pin_delay_ms(uint32_t failures)
{
    if (failures <= LH_PIN_FREE_FAILURES)
        return 0;
    int64_t delay = LH_PIN_DELAY_FIRST_MS;
    for (uint32_t i = LH_PIN_FREE_FAILURES + 1; i < failures && delay < LH_PIN_DELAY_MAX_MS; i++)
        delay *= 2;
    return delay < LH_PIN_DELAY_MAX_MS ? delay : LH_PIN_DELAY_MAX_MS;
}

/* Of another boot: the delay began when this boot did. */
static int64_t wait_of(const lh_pin *pin, const uint8_t boot_id[LH_PIN_BOOT_ID_SIZE], int64_t now_boot_ms)
{
    bool this_boot = memcmp(pin->failed_boot, boot_id, LH_PIN_BOOT_ID_SIZE) == 0;
    int64_t since = now_boot_ms - (this_boot ? pin->failed_ms : 0);
    int64_t delay = lh_pin_delay_ms(pin->failures);
    if (since < 0) /* a boot clock that went back: a snapshot of a machine */
        since = 0;
    return since < delay ? delay - since : 0;
}

lh_pin_view lh_pin_look(const lh_pin *pin, const uint8_t boot_id[LH_PIN_BOOT_ID_SIZE], int64_t now_boot_ms)
{
    lh_pin_view view = {.failures = pin->failures};
    if (!pin->set)
        return view;
    view.locked = pin->failures >= LH_PIN_FINAL_FAILURES;
    view.wait_ms = view.locked ? 0 : wait_of(pin, boot_id, now_boot_ms);
    view.count_low = pin->failures > 0;
    view.final_try = pin->failures + 1 == LH_PIN_FINAL_FAILURES;
    return view;
}

void lh_pin_count(lh_pin *pin, const uint8_t boot_id[LH_PIN_BOOT_ID_SIZE], int64_t now_boot_ms)
{
    if (pin->failures < LH_PIN_FINAL_FAILURES)
        pin->failures++;
    pin->failed_ms = now_boot_ms < 0 ? 0 : now_boot_ms;
    memcpy(pin->failed_boot, boot_id, LH_PIN_BOOT_ID_SIZE);
}

void lh_pin_succeed(lh_pin *pin)
{
    pin->failures = 0;
    pin->failed_ms = 0;
    memset(pin->failed_boot, 0, sizeof(pin->failed_boot));
}

void lh_pin_set(lh_pin *pin, const lh_pin_verifier *verifier)
{
    uint64_t generation = pin->generation + 1;
    *pin = (lh_pin){.set = verifier != NULL, .generation = generation};
    if (verifier)
        pin->verifier = *verifier;
}
