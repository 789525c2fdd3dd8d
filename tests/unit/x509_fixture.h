/* Two certificates, made once by openssl: a CA's own and one that it issued. Base64 of DER. */
#ifndef TESTS_UNIT_X509_FIXTURE_H
#define TESTS_UNIT_X509_FIXTURE_H

/* Subject O = Tést, CN = "leaf, one"; issuer CN = Test CA; serial 00:F1:E2:D3; EC P-256. */
#define X509_LEAF                                                                                            \
    "MIIBIzCByQIEAPHi0zAKBggqhkjOPQQDAjASMRAwDgYDVQQDDAdUZXN0IENBMCAXDTI2MTEyMjA1MDM1OFoYDzIxMjYx"           \
    "MDI5MDUwMzU4WjAkMQ4wDAYDVQQKDAVUw6lzdDESMBAGA1UEAwwJbGVhZiwgb25lMFkwEwYHKoZIzj0CAQYIKoZIzj0D"           \
    "AQcDQgAEFy13ZAZTz3f2TeARPZtwdiX/1/D2W9B68+Q7NI7/gCVPOPJrjAh98FNAExGckyxG5fTpex3zJSRqOc1QY/A3"           \
    "7jAKBggqhkjOPQQDAgNJADBGAiEA+FlSo6L9kZxgNyg1QYqQzwBoMOG2sWRm8mE0vc+c52UCIQDn/XGVryLEzIEh1dTW"           \
    "RCZOerTC9dJyvnK5MCpe/muaHQ=="
#define X509_LEAF_SPKI_SHA256 "7c7ade58d1dfa236f8cd74487c22fac9954fd2c8d8b509e1a34477236d25df64"
/* Subject and issuer CN = Test CA; a CA; EC P-256. */
#define X509_CA                                                                                              \
    "MIIBfDCCASGgAwIBAgIUYyUinEqXVe3JJ7EvqkbhUWi+IzcwCgYIKoZIzj0EAwIwEjEQMA4GA1UEAwwHVGVzdCBDQTAg"           \
    "Fw0yNjExMjIwNTAzNThaGA8yMTI2MTAyOTA1MDM1OFowEjEQMA4GA1UEAwwHVGVzdCBDQTBZMBMGByqGSM49AgEGCCqG"           \
    "SM49AwEHA0IABHkwRdZUp/i5CYVLVfv5bZ9Nsmuy79K3Int84cHB3ZbCwtSrF0SWiNMz9ABZ9LzciceHPm2PWKl6Lzxp"           \
    "AOTsAaqjUzBRMB0GA1UdDgQWBBRpg9BV+gNXwKuoIUQOI/1Ac1JcNzAfBgNVHSMEGDAWgBRpg9BV+gNXwKuoIUQOI/1A"           \
    "c1JcNzAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQDFCFi+sBkfbmhbLmMYdL0zwbaUszEOgQmMyfzR"           \
    "YNxOagIhAJ8LiLJpe/4LS5Yul2sH4TsvZdY36xbytz8SZylS0KFv"

#endif
