/* PINs of standalone partitions: verifiers, and how wrong ones are counted and slowed down.
 *
 * A verifier is scrypt over the PIN with a salt of its own and a pepper that only the vault's root key
 * yields: a copy of the store gives nobody anything to guess against. The parameters are stored with it.
 *
 * Lock-out (docs/standalone.md): the first four wrong PINs in a row cost nothing. After the fifth comes a
 * delay of one second, doubled by each further one up to an hour; after the twentieth the PIN is locked for
 * good (until it is set anew). A right PIN takes the count back to zero. The count rises on the disk before a
 * PIN is looked at. Delays go by CLOCK_BOOTTIME, and after a reboot begin anew with the boot: no setting of
 * the wall clock shortens one.
 *
 * This file is pure: it neither stores nor waits. Threads: any, on different states.
 */
#ifndef LH_OBJECT_PIN_H
#define LH_OBJECT_PIN_H

#include "base/secret.h"
#include "codec/bin.h"
#include "crypto/crypto.h"

#define LH_PIN_MIN 4u   /* bytes */
#define LH_PIN_MAX 255u /* bytes */
#define LH_PIN_SALT_SIZE 16
#define LH_PIN_CHECK_SIZE 32
#define LH_PIN_BOOT_ID_SIZE 16
#define LH_PIN_FREE_FAILURES 4u   /* wrong ones in a row that cost nothing */
#define LH_PIN_FINAL_FAILURES 20u /* … after which it is locked for good */
#define LH_PIN_DELAY_FIRST_MS 1000
#define LH_PIN_DELAY_MAX_MS 3600000
#define LH_PIN_VERIFIER_MAX 64 /* bytes of the encoding */

typedef struct {
    uint8_t salt[LH_PIN_SALT_SIZE];
    uint8_t log_n; /* scrypt's N = 2^log_n (RFC 7914) … */
    uint8_t r, p;
    uint8_t check[LH_PIN_CHECK_SIZE];
} lh_pin_verifier;

/* One PIN's state. Zeroed: no PIN. */
typedef struct {
    bool set;
    lh_pin_verifier verifier;
    uint64_t generation; /* rises with each change of the PIN: what hangs on the old one is void */
    uint32_t failures;   /* in a row, those under way included */
    int64_t failed_ms;   /* boot time of the last one … */
    uint8_t failed_boot[LH_PIN_BOOT_ID_SIZE]; /* … in this boot */
} lh_pin;

/* What people and token info are told. */
typedef struct {
    uint32_t failures;
    bool locked;     /* for good */
    int64_t wait_ms; /* until the next try is taken; 0: now */
    bool count_low;  /* a wrong one since the last right one */
    bool final_try;  /* the next wrong one locks it for good */
} lh_pin_view;

/* LH_E_INVALID (reason "pin-len-range") unless LH_PIN_MIN to LH_PIN_MAX bytes; any bytes do. */
LH_MUST lh_err lh_pin_check_length(lh_bytes pin);

/* Make a verifier with a fresh salt. pepper: 32 bytes. About 50 ms and 16 MiB. The length is the caller's. */
LH_MUST lh_err lh_pin_verifier_make(
    lh_crypto *crypto, const lh_secret *pepper, lh_bytes pin, lh_pin_verifier *ret);
/* Compare in constant time. LH_E_CORRUPT where the parameters are out of bounds. */
LH_MUST lh_err lh_pin_verifier_check(lh_crypto *crypto, const lh_secret *pepper,
    const lh_pin_verifier *verifier, lh_bytes pin, bool *ret_right);

void lh_pin_verifier_put(const lh_pin_verifier *verifier, lh_buf *out);
/* From a reader, or of exactly these bytes. LH_E_INVALID for parameters out of bounds or bytes that are none.
 */
LH_MUST lh_err lh_pin_verifier_read(lh_reader *reader, lh_pin_verifier *ret);
LH_MUST lh_err lh_pin_verifier_decode(lh_bytes bytes, lh_pin_verifier *ret);

/* The state's form in a partition's record. */
void lh_pin_put(const lh_pin *pin, lh_buf *out);
LH_MUST lh_err lh_pin_read(lh_reader *reader, lh_pin *ret);

/* Now, in this boot. */
lh_pin_view lh_pin_look(const lh_pin *pin, const uint8_t boot_id[LH_PIN_BOOT_ID_SIZE], int64_t now_boot_ms);
/* Milliseconds of delay after so many wrong ones in a row. */
int64_t lh_pin_delay_ms(uint32_t failures);
/* A try begins: counted as wrong until lh_pin_succeed. */
void lh_pin_count(lh_pin *pin, const uint8_t boot_id[LH_PIN_BOOT_ID_SIZE], int64_t now_boot_ms);
void lh_pin_succeed(lh_pin *pin);
/* A new PIN: count zero, next generation. NULL: no PIN. */
void lh_pin_set(lh_pin *pin, const lh_pin_verifier *verifier);

#endif
