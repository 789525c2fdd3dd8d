// One step of test_go.sh: token MODULE LABEL PIN KEY-LABEL STEP [ARGUMENTS]; ends with status 1 where something is wrong.
package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"os"
	"sync"
	"time"

	"github.com/ThalesIgnite/crypto11"
	"github.com/miekg/pkcs11"
)

var digest = sha256.Sum256([]byte("what is to be signed"))

func verify(public crypto.PublicKey, hash, signature []byte) error {
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		if !ecdsa.VerifyASN1(key, hash, signature) {
			return errors.New("the signature is wrong")
		}
		return nil
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, hash, signature)
	}
	return fmt.Errorf("a public key of type %T", public)
}

func check(signer crypto.Signer) error {
	signature, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return err
	}
	return verify(signer.Public(), digest[:], signature)
}

func find(c *crypto11.Context, label string) (crypto11.Signer, error) {
	signer, err := c.FindKeyPair(nil, []byte(label))
	if err == nil && signer == nil {
		err = fmt.Errorf("no key pair %s", label)
	}
	return signer, err
}

func sign(c *crypto11.Context, label string, _ []string) error {
	signer, err := find(c, label)
	if err != nil {
		return err
	}
	return check(signer)
}

func generate(c *crypto11.Context, _ string, _ []string) error {
	ec, err := c.GenerateECDSAKeyPairWithLabel([]byte("go-ec"), []byte("go-ec"), elliptic.P384())
	if err != nil {
		return err
	}
	pair, err := c.GenerateRSAKeyPairWithLabel([]byte("go-rsa"), []byte("go-rsa"), 2048)
	if err != nil {
		return err
	}
	for _, signer := range []crypto.Signer{ec, pair} {
		if err = check(signer); err != nil {
			return err
		}
	}
	pss := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	signature, err := pair.Sign(rand.Reader, digest[:], pss)
	if err != nil {
		return err
	}
	if err = rsa.VerifyPSS(pair.Public().(*rsa.PublicKey), crypto.SHA256, digest[:], signature, pss); err != nil {
		return err
	}
	if err = ec.Delete(); err != nil {
		return err
	}
	if left, err := c.FindKeyPair(nil, []byte("go-ec")); err != nil || left != nil {
		return fmt.Errorf("after Delete: %v, %v", left, err)
	}
	return nil
}

func decrypt(c *crypto11.Context, _ string, _ []string) error {
	signer, err := find(c, "go-rsa")
	if err != nil {
		return err
	}
	secret, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, signer.Public().(*rsa.PublicKey), []byte("short"), nil)
	if err != nil {
		return err
	}
	clear, err := signer.(crypto.Decrypter).Decrypt(rand.Reader, secret, &rsa.OAEPOptions{Hash: crypto.SHA256})
	if err != nil || string(clear) != "short" {
		return fmt.Errorf("RSA-OAEP: %q, %v", clear, err)
	}
	return nil
}

func secrets(c *crypto11.Context, _ string, _ []string) error {
	key, err := c.GenerateSecretKeyWithLabel([]byte("go-aes"), []byte("go-aes"), 256, crypto11.CipherAES)
	if err != nil {
		return err
	}
	text := []byte("what is to be encrypted")
	gcm, err := key.NewGCM()
	if err != nil {
		return err
	}
	nonce := make([]byte, gcm.NonceSize())
	sealed := gcm.Seal(nil, nonce, text, []byte("header"))
	if clear, err := gcm.Open(nil, nonce, sealed, []byte("header")); err != nil || !bytes.Equal(clear, text) {
		return fmt.Errorf("AES-GCM: %q, %v", clear, err)
	}
	if _, err = gcm.Open(nil, nonce, sealed, []byte("another")); err == nil {
		return errors.New("AES-GCM takes another header")
	}
	mac, err := c.GenerateSecretKeyWithLabel([]byte("go-hmac"), []byte("go-hmac"), 256, crypto11.CipherGeneric)
	if err != nil {
		return err
	}
	sum := func() ([]byte, error) {
		h, err := mac.NewHMAC(pkcs11.CKM_SHA256_HMAC, 0)
		if err != nil {
			return nil, err
		}
		_, err = h.Write(text)
		return h.Sum(nil), err
	}
	first, err := sum()
	if err != nil {
		return err
	}
	second, err := sum()
	if err != nil || len(first) != 32 || !hmac.Equal(first, second) {
		return fmt.Errorf("HMAC: %x, %x, %v", first, second, err)
	}
	return nil
}

func random(c *crypto11.Context, _ string, _ []string) error {
	reader, err := c.NewRandomReader()
	if err != nil {
		return err
	}
	a, b := make([]byte, 64), make([]byte, 64)
	if _, err = io.ReadFull(reader, a); err != nil {
		return err
	}
	if _, err = io.ReadFull(reader, b); err != nil || bytes.Equal(a, b) {
		return fmt.Errorf("random numbers: %x, %x, %v", a, b, err)
	}
	return nil
}

func readCertificate(file string) (*x509.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

// A certificate signed by the token's key, and one imported into the token.
func certificates(c *crypto11.Context, label string, _ []string) error {
	signer, err := find(c, label)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "go"}, NotBefore: time.Now(),
		NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		return err
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	if err = c.ImportCertificateWithLabel([]byte("go-cert"), []byte("go-cert"), made); err != nil {
		return err
	}
	found, err := c.FindCertificate(nil, []byte("go-cert"), nil)
	if err != nil || found == nil || !found.Equal(made) {
		return fmt.Errorf("FindCertificate: %v", err)
	}
	return c.DeleteCertificate(nil, []byte("go-cert"), nil)
}

// A TLS server and a client that both show the token's certificate.
func handshake(c *crypto11.Context, label string, args []string) error {
	signer, err := find(c, label)
	if err != nil {
		return err
	}
	cert, err := c.FindCertificate(nil, []byte(label), nil)
	if err != nil || cert == nil {
		return fmt.Errorf("the token has no certificate %s: %v", label, err)
	}
	ca, err := readCertificate(args[0])
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: signer}}, RootCAs: pool,
			ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, ServerName: "localhost", MinVersion: version, MaxVersion: version}
		listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
		if err != nil {
			return err
		}
		served := make(chan error, 1)
		go func() {
			served <- func() error {
				peer, err := listener.Accept()
				if err != nil {
					return err
				}
				defer peer.Close()
				_ = peer.SetDeadline(time.Now().Add(20 * time.Second))
				_, err = peer.Write([]byte("hello"))
				return err
			}()
		}()
		conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 20 * time.Second}, "tcp", listener.Addr().String(), config)
		if err != nil {
			return err
		}
		got, err := io.ReadAll(conn)
		conn.Close()
		listener.Close()
		if err != nil || string(got) != "hello" {
			return fmt.Errorf("client: %q, %v", got, err)
		}
		if err = <-served; err != nil {
			return err
		}
	}
	return nil
}

func many(c *crypto11.Context, label string, _ []string) error {
	signer, err := find(c, label)
	if err != nil {
		return err
	}
	var wait sync.WaitGroup
	failed := make(chan error, 16)
	for i := 0; i < 16; i++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for j := 0; j < 5; j++ {
				if err := check(signer); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	wait.Wait()
	close(failed)
	return <-failed
}

func main() {
	log.SetFlags(0)
	steps := map[string]func(*crypto11.Context, string, []string) error{"sign": sign, "generate": generate,
		"decrypt": decrypt, "secrets": secrets, "random": random, "certificates": certificates, "handshake": handshake, "many": many}
	c, err := crypto11.Configure(&crypto11.Config{Path: os.Args[1], TokenLabel: os.Args[2], Pin: os.Args[3]})
	if err != nil {
		log.Fatal("Configure: ", err)
	}
	if err = steps[os.Args[5]](c, os.Args[4], os.Args[6:]); err != nil {
		log.Fatal(os.Args[5], ": ", err)
	}
	if err = c.Close(); err != nil {
		log.Fatal("Close: ", err)
	}
}
