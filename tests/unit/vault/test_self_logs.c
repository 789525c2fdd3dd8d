/* The vault's own host, appraised with its logs like any other: its TPM's PCRs are extended here as firmware
 * and kernel would, and the logs are files. */
#include "../verify/logs_fixture.h"
#include "fixture.h"

#include "codec/base64.h"
#include "codec/ima_log.h"
#include "vault/host_internal.h"

#define FILES 8 /* 0 to 3 are known to the reference values at first */

static fx_boot boot;
static char folder[64], events_path[96], ima_path[96];
static lh_buf ima; /* what the file of that name holds */

/* --- a host that measures ----------------------------------------------------------------------------------
 */

static lh_tpm *own_tpm(void)
{
    lh_tpm *tpm = NULL;
    assert_lh_ok(lh_vault_tpm(w.vault, &tpm));
    return tpm;
}

static void write_file(const char *path, lh_bytes bytes, int flags)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes.data, bytes.len), bytes.len);
    close(fd);
}

/* As the kernel: into the log, then into the PCR. */
static void measured(size_t before)
{
    uint8_t digest[32];
    lh_bytes rest = LH_BYTES(ima.data + before, ima.len - before);
    lh_ima_entry entry;
    bool more = false;
    write_file(ima_path, rest, O_APPEND);
    assert_lh_ok(lh_ima_log_next(&rest, &entry, &more));
    assert_lh_ok(lh_sha256(w.vault->crypto, &entry.template_data, 1, digest));
    assert_lh_ok(lh_tpm_pcr_extend(own_tpm(), 10, digest));
}

static void measure(size_t file)
{
    size_t before = ima.len;
    fx_ima_file(w.vault->crypto, &ima, NULL, file);
    measured(before);
}

static void do_boot(void)
{
    LH_AUTO(lh_buf_free) lh_buf log = LH_BUF_INIT(1 << 20);
    uint8_t pcrs[24][32];
    fx_boot_typical(&boot, w.vault->crypto, 5);
    for (size_t i = 0; i < boot.n; i++)
        if (boot.events[i].type != LH_EV_NO_ACTION)
            assert_lh_ok(lh_tpm_pcr_extend(own_tpm(), boot.events[i].pcr, boot.events[i].digest));
    fx_boot_write(&boot, &log);
    write_file(events_path, lh_buf_bytes(&log), O_TRUNC);
    fx_boot_pcrs(&boot, 0, pcrs);
    fx_ima_begin(boot.c, &ima, (const uint8_t(*)[32])pcrs, NULL);
    measured(0);
    for (size_t i = 0; i < 3; i++)
        measure(i);
}

static void open_logs(void)
{
    fixture_logs =
        (lh_vault_logs){open(events_path, O_RDONLY | O_CLOEXEC), open(ima_path, O_RDONLY | O_CLOEXEC)};
    assert_true(fixture_logs.event_log_fd >= 0 && fixture_logs.ima_log_fd >= 0);
}

static void close_logs(void)
{
    lh_fd_close(fixture_logs.event_log_fd);
    lh_fd_close(fixture_logs.ima_log_fd);
    fixture_logs = (lh_vault_logs){-1, -1};
}

/* --- reference values --------------------------------------------------------------------------------------
 */

static int compare_lines(const void *a, const void *b)
{
    return memcmp(a, b, 64);
}

static void upload(lh_bytes text, const char *hash)
{
    LH_AUTO(lh_buf_free) lh_buf base64 = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_base64_encode(text, &base64);
    json_decref(
        ask_ok(json_pack("{s:s, s:s, s:I, s:I, s:s%}", "call", "reference.upload", "files", hash, "size",
            (json_int_t)text.len, "offset", (json_int_t)0, "data", (const char *)base64.data, base64.len)));
}

/* Files 0 to n - 1 (of 0: none, but the boot log), and the present value of PCR 7. */
static void set_known(size_t n, bool upload_them)
{
    char lines[FILES][65], value[65], hash[65] = "";
    uint8_t pcrs[24][32], digest[32];
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(4096);
    LH_AUTO(lh_buf_free) lh_buf document = LH_BUF_INIT(4096);
    for (size_t i = 0; i < n; i++) {
        fx_file_digest(w.vault->crypto, i, digest);
        lh_hex(digest, 32, lines[i]);
    }
    qsort(lines, n, sizeof(*lines), compare_lines);
    for (size_t i = 0; i < n; i++)
        lh_buf_printf(&text, "%.64s  /file\n", lines[i]);
    const lh_bytes bytes = lh_buf_bytes(&text);
    assert_lh_ok(lh_sha256(w.vault->crypto, &bytes, 1, digest));
    lh_hex(digest, 32, hash);
    assert_lh_ok(lh_tpm_pcr_read(own_tpm(), 1u << 7, pcrs));
    lh_hex(pcrs[7], 32, value);
    lh_buf_printf(&document, "references:\n  here:\n    pcrs: {7: [\"sha256:%s\"]}\n", value);
    if (n > 0)
        lh_buf_printf(&document, "    files: [\"sha256:%s\"]\n", hash);
    else
        lh_buf_append_str(&document, "    event_log: true\n");
    lh_buf_append_str(&document, "self:\n  reference: here\n");
    govern_ok("reference.set", lh_buf_cstr(&document));
    if (upload_them)
        upload(bytes, hash);
}

static void set_policy(int freshness)
{
    char text[2048];
    snprintf(text, sizeof(text),
        "trust_domain: test.example\nworkloads:\n  - { id: " ME ", attest: { uid: %u, freshness: %ds } }\n"
        "roles:\n" ROLE("sign", "workload", "ec-p256", "ecdsa-sha256", "") ROLE(
            "once", "lease", "ed25519", "eddsa", "") "grants:\n  - { workload: " ME
                                                     ", role: sign }\n  - { workload: " ME ", role: once }\n",
        (unsigned)getuid(), freshness);
    govern_ok("policy.apply", text);
}

/* --- what the vault says -----------------------------------------------------------------------------------
 */

static const char *status_message(void)
{
    static char message[512];
    json_t *reply = ask_ok(json_pack("{s:s}", "call", "status"));
    const json_t *reference = json_object_get(reply, "reference");
    assert_true(json_is_true(json_object_get(reference, "ok")) == (text_of(reference, "message")[0] == '\0'));
    snprintf(message, sizeof(message), "%s", text_of(reference, "message"));
    json_decref(reply);
    return message;
}

#define assert_says(text, part)                                                                              \
    do {                                                                                                     \
        if (!strstr((text), (part)))                                                                         \
            fail_msg("\"%s\" does not say \"%s\"", (text), (part));                                          \
    } while (0)

/* Until a lease has ended; its reason. */
static const char *ended(const lh_lease *lease, int ms)
{
    for (int i = 0; i < ms / 20 && lh_lease_state_of(lease) != LH_LEASE_ENDED; i++)
        swtpm_sleep_ms(20);
    return lh_lease_state_of(lease) == LH_LEASE_ENDED ? lh_lease_reason(lease) : "it has not ended";
}

/* A live lease of this process. */
static lh_lease *issued(lh_peer *peer, const char *role)
{
    assert_lh_ok(sign_with(peer, role));
    lh_lease *lease = lease_of(getpid(), role);
    assert_non_null(lease);
    return lease;
}

static int setup(void **unused)
{
    strcpy(folder, "/tmp/lh-logs-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(events_path, sizeof(events_path), "%s/events", folder);
    snprintf(ima_path, sizeof(ima_path), "%s/ima", folder);
    ima = LH_BUF_INIT(1 << 20);
    write_file(events_path, LH_BYTES_NONE, O_TRUNC);
    write_file(ima_path, LH_BYTES_NONE, O_TRUNC);
    open_logs();
    world_setup(unused);
    do_boot();
    found_vault();
    govern_ok("parent.create", "{\"name\":\"root\"}");
    set_policy(2);
    set_known(4, true);
    return 0;
}

static int teardown(void **unused)
{
    world_teardown(unused);
    close_logs();
    unlink(events_path);
    unlink(ima_path);
    rmdir(folder);
    lh_buf_free(&ima);
    return 0;
}

/* --- tests
 * --------------------------------------------------------------------------------------------------
 */

static void test_known_files(void **unused)
{
    (void)unused;
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    lh_lease *lease = issued(peer, "sign");
    measure(3);
    swtpm_sleep_ms(2500); /* longer than its freshness: quoted anew, with what was measured meanwhile */
    assert_int_equal(lh_lease_state_of(lease), LH_LEASE_LIVE);
    assert_lh_ok(sign_with(peer, "once"));
    assert_string_equal(status_message(), "");
    lh_lease_unref(lease);
    lh_peer_unref(peer);
}

static void test_unknown_file(void **unused)
{
    (void)unused;
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    lh_lease *lease = issued(peer, "sign");
    measure(5);
    assert_string_equal(ended(lease, 2500), "ima-unknown");
    assert_int_equal(wait_stored(lh_lease_terms_of(lease)->id, LH_LEASE_ENDED), LH_LEASE_ENDED);
    lh_lease_unref(lease);
    assert_lh_refused(sign_with(peer, "sign"), LH_E_ATTESTATION, "ima-unknown");
    assert_says(status_message(), "library-5.so");
    for (int i = 0; i < 100 && count_events("host.drifted") == 0; i++)
        swtpm_sleep_ms(20);
    assert_int_equal(count_events("host.drifted"), 1);
    /* Reference values that know it: what was measured before is weighed by them. */
    set_known(6, true);
    lease = issued(peer, "sign");
    assert_string_equal(status_message(), "");
    /* And those of before, once more: the lease ends, although nothing was measured. */
    set_known(4, false);
    assert_string_equal(ended(lease, 1500), "ima-unknown");
    lh_lease_unref(lease);
    lh_peer_unref(peer);
}

/* Whoever asks first finds it out for all. */
static void test_refusal_ends_others(void **unused)
{
    (void)unused;
    set_policy(60);
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    lh_lease *lease = issued(peer, "sign");
    measure(5);
    assert_lh_refused(sign_with(peer, "once"), LH_E_ATTESTATION, "ima-unknown");
    assert_string_equal(ended(lease, 1500), "ima-unknown");
    lh_lease_unref(lease);
    lh_peer_unref(peer);
}

/* Something was measured, and its entry is kept from the log. */
static void test_withheld_entry(void **unused)
{
    (void)unused;
    uint8_t digest[32] = {1};
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    lh_lease *lease = issued(peer, "sign");
    assert_lh_ok(lh_tpm_pcr_extend(own_tpm(), 10, digest));
    assert_string_equal(ended(lease, 2500), "ima-behind");
    assert_says(status_message(), "PCR 10");
    lh_lease_unref(lease);
    lh_peer_unref(peer);
}

static void test_changed_pcr(void **unused)
{
    (void)unused;
    uint8_t digest[32] = {1};
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    lh_lease *lease = issued(peer, "sign");
    assert_lh_ok(lh_tpm_pcr_extend(own_tpm(), 7, digest));
    assert_string_equal(ended(lease, 2500), "evidence-pcr");
    assert_says(status_message(), "PCR 7");
    lh_lease_unref(lease);
    lh_peer_unref(peer);
}

/* A PCR that reference values say nothing of: the boot log has to account for it. */
static void test_boot_log(void **unused)
{
    (void)unused;
    uint8_t digest[32] = {1};
    set_known(0, false);
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    lh_lease *lease = issued(peer, "sign");
    measure(5); /* nobody asked for files */
    assert_lh_ok(sign_with(peer, "once"));
    set_known(4, true);
    assert_string_equal(ended(lease, 1500), "ima-unknown");
    lh_lease_unref(lease);
    assert_lh_refused(sign_with(peer, "sign"), LH_E_ATTESTATION, "ima-unknown");
    set_known(6, true);
    lease = issued(peer, "sign");
    assert_lh_ok(lh_tpm_pcr_extend(own_tpm(), 4, digest));
    assert_string_equal(ended(lease, 2500), "eventlog-replay");
    lh_lease_unref(lease);
    lh_peer_unref(peer);
}

/* A file of another boot log than that of this boot. */
static void test_other_boot_log(void **unused)
{
    (void)unused;
    LH_AUTO(lh_buf_free) lh_buf log = LH_BUF_INIT(1 << 20);
    fx_boot_text(&boot, 9, LH_EV_IPL, "one more");
    close_vault();
    fx_boot_write(&boot, &log);
    write_file(events_path, lh_buf_bytes(&log), O_TRUNC);
    open_vault();
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    assert_lh_refused(sign_with(peer, "sign"), LH_E_ATTESTATION, "eventlog-replay");
    assert_says(status_message(), "PCR 9");
    lh_peer_unref(peer);
}

static void test_no_logs(void **unused)
{
    (void)unused;
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    lh_lease *lease = issued(peer, "sign");
    uint8_t id[LH_LEASE_ID_SIZE];
    memcpy(id, lh_lease_terms_of(lease)->id, sizeof(id));
    lh_lease_unref(lease);
    lh_peer_unref(peer);
    close_vault();
    lh_fd_close(fixture_logs.ima_log_fd);
    fixture_logs.ima_log_fd = -1;
    open_vault();
    assert_int_equal(
        wait_stored(id, LH_LEASE_ENDED), LH_LEASE_ENDED); /* it went on, until it was looked at */
    peer = peer_of(getpid(), answers, NULL);
    assert_lh_refused(sign_with(peer, "sign"), LH_E_ATTESTATION, "self-no-ima-log");
    assert_says(status_message(), "(ima_log:)");
    lh_peer_unref(peer);
    close_vault();
    close_logs();
    open_vault();
    peer = peer_of(getpid(), answers, NULL);
    assert_lh_refused(sign_with(peer, "sign"), LH_E_ATTESTATION, "self-no-event-log");
    assert_says(status_message(), "(event_log:)");
    set_references(); /* of PCRs alone */
    assert_lh_ok(sign_with(peer, "sign"));
    assert_string_equal(status_message(), "");
    lh_peer_unref(peer);
    close_vault();
    open_logs();
    open_vault();
}

static void test_incomplete(void **unused)
{
    (void)unused;
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    set_known(7, false);
    assert_lh_refused(sign_with(peer, "sign"), LH_E_DENIED, "reference-incomplete");
    assert_says(status_message(), "leasehold reference upload");
    set_known(7, true);
    assert_lh_ok(sign_with(peer, "sign"));
    lh_peer_unref(peer);
}

/* The log's file is shorter than what was read of it: it is read from its beginning. */
static void test_log_begins_anew(void **unused)
{
    (void)unused;
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    assert_lh_ok(sign_with(peer, "sign"));
    assert_int_equal(truncate(ima_path, 0), 0);
    uint8_t digest[32] = {1};
    assert_lh_ok(lh_tpm_pcr_extend(own_tpm(), 10, digest)); /* so that it is looked at */
    assert_lh_refused(sign_with(peer, "once"), LH_E_ATTESTATION, "ima-none");
    write_file(ima_path, lh_buf_bytes(&ima), O_TRUNC);
    assert_lh_refused(sign_with(peer, "once"), LH_E_ATTESTATION, "ima-behind");
    lh_peer_unref(peer);
}

/* While files are measured, quotes overtake each other. Nobody is refused for that. */
static void *attest_often(void *unused)
{
    (void)unused;
    size_t *good = calloc(1, sizeof(*good));
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = lh_vault_rules(w.vault);
    for (int i = 0; i < 25 && good; i++) {
        lh_evidence_leaf leaf;
        lh_evidence evidence;
        lh_random(&leaf, sizeof(leaf));
        const lh_self_expectation expectation = {&leaf, lh_clock_boot_ms(), rules};
        lh_evidence_init(&evidence);
        pthread_rwlock_rdlock(&w.vault->core_lock);
        lh_err err = lh_self_attest(w.vault, &expectation, &evidence);
        pthread_rwlock_unlock(&w.vault->core_lock);
        if (!lh_ok(err))
            print_error("%s: %s\n", lh_err_last()->reason, lh_err_last()->message);
        *good += lh_ok(err);
        lh_evidence_deinit(&evidence);
    }
    return good;
}

static void test_many_while_measuring(void **unused)
{
    (void)unused;
    pthread_t threads[8];
    size_t total = 0;
    for (size_t i = 0; i < LH_ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, attest_often, NULL), 0);
    for (size_t i = 0; i < 60; i++) {
        measure(i % 4);
        swtpm_sleep_ms(3);
    }
    for (size_t i = 0; i < LH_ARRAY_LEN(threads); i++) {
        void *good = NULL;
        pthread_join(threads[i], &good);
        total += good ? *(size_t *)good : 0;
        free(good);
    }
    assert_int_equal(total, 25 * LH_ARRAY_LEN(threads));
    assert_string_equal(status_message(), "");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_known_files),
        CASE(test_unknown_file),
        CASE(test_refusal_ends_others),
        CASE(test_withheld_entry),
        CASE(test_changed_pcr),
        CASE(test_boot_log),
        CASE(test_other_boot_log),
        CASE(test_no_logs),
        CASE(test_incomplete),
        CASE(test_log_begins_anew),
        CASE(test_many_while_measuring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
