/* PINs and the initialising of tokens. Each case leaves the PINs as they were. */
#include "suite.h"

#include <string.h>

#define PIN(text) (unsigned char *)(size_t)(text), strlen(text)

static void set_pin(suite *s)
{
    OK(s->f->C_SetPIN(s->session, PIN(s->pin), PIN("another-pin")));
    OK(s->f->C_Logout(s->session));
    IS(CKR_PIN_INCORRECT, s->f->C_Login(s->session, CKU_USER, PIN(s->pin)));
    OK(s->f->C_Login(s->session, CKU_USER, PIN("another-pin")));
    IS(CKR_PIN_INCORRECT, s->f->C_SetPIN(s->session, PIN("wrong"), PIN("whatever")));
    OK(s->f->C_SetPIN(s->session, PIN("another-pin"), PIN(s->pin)));
    OK(s->f->C_Logout(s->session));
    suite_login(s, s->session);
}

/* In a public session C_SetPIN is the user's. */
static void set_pin_public(suite *s)
{
    s->session = suite_open(s, CKF_RW_SESSION);
    OK(s->f->C_SetPIN(s->session, PIN(s->pin), PIN("another-pin")));
    OK(s->f->C_Login(s->session, CKU_USER, PIN("another-pin")));
    OK(s->f->C_SetPIN(s->session, PIN("another-pin"), PIN(s->pin)));
}

static void set_pin_rules(suite *s)
{
    char longest[300];
    memset(longest, 'x', sizeof longest);
    IS(CKR_PIN_LEN_RANGE, s->f->C_SetPIN(s->session, PIN(s->pin), PIN("abc")));
    IS(CKR_PIN_LEN_RANGE, s->f->C_SetPIN(s->session, PIN(s->pin), (unsigned char *)longest, 256));
    CK_SESSION_HANDLE ro = suite_open(s, 0);
    IS(CKR_SESSION_READ_ONLY, s->f->C_SetPIN(ro, PIN(s->pin), PIN("another-pin")));
    /* The longest that C_GetTokenInfo promises. */
    CK_TOKEN_INFO t;
    OK(s->f->C_GetTokenInfo(s->slot, &t));
    CHECK(t.ulMaxPinLen < sizeof longest);
    OK(s->f->C_SetPIN(s->session, PIN(s->pin), (unsigned char *)longest, t.ulMaxPinLen));
    OK(s->f->C_SetPIN(s->session, (unsigned char *)longest, t.ulMaxPinLen, PIN(s->pin)));
}

static void so_pin(suite *s)
{
    CK_SESSION_HANDLE rw = suite_open(s, CKF_RW_SESSION);
    OK(s->f->C_Login(rw, CKU_SO, PIN(s->so_pin)));
    OK(s->f->C_SetPIN(rw, PIN(s->so_pin), PIN("another-so-pin")));
    OK(s->f->C_Logout(rw));
    IS(CKR_PIN_INCORRECT, s->f->C_Login(rw, CKU_SO, PIN(s->so_pin)));
    OK(s->f->C_Login(rw, CKU_SO, PIN("another-so-pin")));
    OK(s->f->C_SetPIN(rw, PIN("another-so-pin"), PIN(s->so_pin)));
    OK(s->f->C_Logout(rw));
}

static void init_pin(suite *s)
{
    CK_SESSION_HANDLE rw = suite_open(s, CKF_RW_SESSION);
    IS(CKR_USER_NOT_LOGGED_IN, s->f->C_InitPIN(rw, PIN("another-pin")));
    suite_login(s, rw);
    IS(CKR_USER_NOT_LOGGED_IN, s->f->C_InitPIN(rw, PIN("another-pin"))); /* the user is not the officer */
    OK(s->f->C_Logout(rw));
    OK(s->f->C_Login(rw, CKU_SO, PIN(s->so_pin)));
    IS(CKR_PIN_LEN_RANGE, s->f->C_InitPIN(rw, PIN("abc")));
    OK(s->f->C_InitPIN(rw, PIN("by-the-officer")));
    OK(s->f->C_Logout(rw));
    OK(s->f->C_Login(rw, CKU_USER, PIN("by-the-officer")));
    OK(s->f->C_SetPIN(rw, PIN("by-the-officer"), PIN(s->pin)));
}

/* Five wrong ones lock nobody out, and a right one forgives. */
static void wrong_pins(suite *s)
{
    CK_SESSION_HANDLE rw = suite_open(s, CKF_RW_SESSION);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 4; i++)
            IS(CKR_PIN_INCORRECT, s->f->C_Login(rw, CKU_USER, PIN("wrong")));
        OK(s->f->C_Login(rw, CKU_USER, PIN(s->pin)));
        OK(s->f->C_Logout(rw));
    }
}

static CK_SLOT_ID blank_slot(suite *s)
{
    CK_SLOT_ID slots[256];
    CK_ULONG count = 256;
    OK(s->f->C_GetSlotList(CK_TRUE, slots, &count));
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO t;
        OK(s->f->C_GetTokenInfo(slots[i], &t));
        if (!(t.flags & CKF_TOKEN_INITIALIZED))
            return slots[i];
    }
    suite_absent(s, "an uninitialised token");
}

static void init_token(suite *s)
{
    CK_SLOT_ID blank = blank_slot(s);
    char label[33];
    memset(label, ' ', sizeof label);
    memcpy(label, "conformance-new", 15);
    IS(CKR_SLOT_ID_INVALID, s->f->C_InitToken(0x7ffffffe, PIN("1234"), (unsigned char *)label));
    IS(CKR_ARGUMENTS_BAD, s->f->C_InitToken(blank, PIN("1234"), NULL));
    IS_EITHER(
        CKR_PIN_LEN_RANGE, CKR_PIN_INCORRECT, s->f->C_InitToken(blank, PIN("12"), (unsigned char *)label));
    OK(s->f->C_InitToken(blank, PIN("first-so"), (unsigned char *)label));
    CK_SLOT_ID slot = suite_find_slot(s, "conformance-new");
    CK_TOKEN_INFO t;
    OK(s->f->C_GetTokenInfo(slot, &t));
    CHECK((t.flags & CKF_TOKEN_INITIALIZED) && !(t.flags & CKF_USER_PIN_INITIALIZED));
    (void)blank_slot(s); /* there is a spare one again */
    s->slot = slot;
    s->session = suite_open(s, CKF_RW_SESSION);
    IS(CKR_USER_PIN_NOT_INITIALIZED, s->f->C_Login(s->session, CKU_USER, PIN("1234")));
    OK(s->f->C_Login(s->session, CKU_SO, PIN("first-so")));
    OK(s->f->C_InitPIN(s->session, PIN("first-user")));
    IS(CKR_SESSION_EXISTS, s->f->C_InitToken(slot, PIN("first-so"), (unsigned char *)label));
    OK(s->f->C_Logout(s->session));
    OK(s->f->C_Login(s->session, CKU_USER, PIN("first-user")));
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE data[] = {ATTR(CKA_CLASS, class), ATTR(CKA_TOKEN, yes)};
    CK_OBJECT_HANDLE object;
    OK(s->f->C_CreateObject(s->session, data, 2, &object));
    OK(s->f->C_CloseAllSessions(slot));
    /* Again: only with the officer's PIN, and then everything is gone. */
    IS(CKR_PIN_INCORRECT, s->f->C_InitToken(slot, PIN("not-it"), (unsigned char *)label));
    OK(s->f->C_InitToken(slot, PIN("first-so"), (unsigned char *)label));
    s->slot = suite_find_slot(s, "conformance-new");
    s->session = suite_open(s, CKF_RW_SESSION);
    IS(CKR_USER_PIN_NOT_INITIALIZED, s->f->C_Login(s->session, CKU_USER, PIN("first-user")));
    CHECK(find_count(s, data, 1, NULL) == 0);
}

const conformance_case cases_pin[] = {
    {"pin.set", "C_SetPIN C_Login", 0, set_pin},
    {"pin.set-public", "C_SetPIN", CASE_NO_LOGIN, set_pin_public},
    {"pin.set-rules", "C_SetPIN C_GetTokenInfo", 0, set_pin_rules},
    {"pin.so", "C_SetPIN C_Login", CASE_NO_LOGIN, so_pin},
    {"pin.init", "C_InitPIN", CASE_NO_LOGIN, init_pin},
    {"pin.wrong", "C_Login", CASE_NO_LOGIN, wrong_pins},
    {"pin.init-token", "C_InitToken C_InitPIN", CASE_NO_LOGIN, init_token},
    {0},
};
