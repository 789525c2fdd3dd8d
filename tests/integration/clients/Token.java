import java.io.ByteArrayInputStream;
import java.io.FileInputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Provider;
import java.security.PublicKey;
import java.security.SecureRandom;
import java.security.Security;
import java.security.Signature;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.ECGenParameterSpec;
import java.util.Arrays;
import java.util.Collections;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import javax.crypto.Cipher;
import javax.crypto.KeyAgreement;
import javax.crypto.KeyGenerator;
import javax.crypto.Mac;
import javax.crypto.SecretKey;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.IvParameterSpec;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

/** One step of test_java.sh: Token CONFIG PIN STEP ARGUMENTS; fails by an exception. */
public class Token {
    static Provider provider;
    static char[] pin;

    static void check(boolean good, String what) {
        if (!good) throw new AssertionError(what);
    }

    static KeyStore store() throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS11", provider);
        store.load(null, pin);
        return store;
    }

    static X509Certificate authority(String file) throws Exception {
        try (InputStream in = new FileInputStream(file)) {
            return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(in);
        }
    }

    /** Signs with the token's key, and verifies with the JDK's own code. */
    static void sign(String alias, String... algorithms) throws Exception {
        KeyStore store = store();
        PrivateKey key = (PrivateKey) store.getKey(alias, null);
        check(key.getEncoded() == null, "the private key is readable");
        X509Certificate cert = (X509Certificate) store.getCertificate(alias);
        for (String name : algorithms) {
            Signature signer = Signature.getInstance(name, provider);
            signer.initSign(key);
            signer.update("what is to be signed".getBytes());
            byte[] signature = signer.sign();
            Signature verifier = Signature.getInstance(name, name.contains("ECDSA") ? "SunEC" : "SunRsaSign");
            verifier.initVerify(cert.getPublicKey());
            verifier.update("what is to be signed".getBytes());
            check(verifier.verify(signature), name);
        }
    }

    /** A TLS server and a client with a certificate of its own, both with the token's key. */
    static void tls(String alias, String ca) throws Exception {
        KeyStore token = store();
        check(token.isKeyEntry(alias), "no key " + alias);
        KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
        keys.init(KeyStore.Builder.newInstance("PKCS11", provider, new KeyStore.PasswordProtection(pin)).getKeyStore(), null);
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        trusted.setCertificateEntry("ca", authority(ca));
        TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(trusted);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
        ExecutorService pool = Executors.newSingleThreadExecutor();
        for (String version : new String[] {"TLSv1.2", "TLSv1.3"}) {
            try (SSLServerSocket listener = (SSLServerSocket) context.getServerSocketFactory().createServerSocket(0, 5,
                     java.net.InetAddress.getLoopbackAddress())) {
                listener.setNeedClientAuth(true);
                listener.setEnabledProtocols(new String[] {version});
                Future<String> served = pool.submit(() -> {
                    try (SSLSocket peer = (SSLSocket) listener.accept()) {
                        peer.getInputStream().read();
                        peer.getOutputStream().write(2);
                        return peer.getSession().getPeerPrincipal().getName();
                    }
                });
                try (SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket("127.0.0.1", listener.getLocalPort())) {
                    socket.getOutputStream().write(1);
                    check(socket.getInputStream().read() == 2, "the server's answer");
                    System.out.println(socket.getSession().getProtocol() + ", the client is " + served.get());
                }
            }
        }
        pool.shutdown();
    }

    /** What applications do with keys of one session. */
    static void agree() throws Exception {
        store();
        KeyPairGenerator pairs = KeyPairGenerator.getInstance("EC", provider);
        pairs.initialize(new ECGenParameterSpec("secp256r1"));
        KeyPair one = pairs.generateKeyPair();
        KeyPair other = pairs.generateKeyPair();
        check(Arrays.equals(agree(one.getPrivate(), other.getPublic()), agree(other.getPrivate(), one.getPublic())), "ECDH");
    }

    static void session() throws Exception {
        store();
        KeyGenerator secrets = KeyGenerator.getInstance("AES", provider);
        secrets.init(256);
        SecretKey secret = secrets.generateKey();
        byte[] text = "what is to be encrypted".getBytes();
        GCMParameterSpec gcm = new GCMParameterSpec(128, new byte[12]);
        check(Arrays.equals(text, crypt(secret, "AES/GCM/NoPadding", gcm, text)), "AES-GCM");
        check(Arrays.equals(text, crypt(secret, "AES/CBC/PKCS5Padding", new IvParameterSpec(new byte[16]), text)), "AES-CBC");

        Mac mac = Mac.getInstance("HmacSHA256", provider);
        mac.init(new javax.crypto.spec.SecretKeySpec("0123456789abcdef0123456789abcdef".getBytes(), "HmacSHA256"));
        Mac expected = Mac.getInstance("HmacSHA256", "SunJCE");
        expected.init(new javax.crypto.spec.SecretKeySpec("0123456789abcdef0123456789abcdef".getBytes(), "HmacSHA256"));
        check(Arrays.equals(mac.doFinal(text), expected.doFinal(text)), "HMAC");

        KeyPairGenerator rsa = KeyPairGenerator.getInstance("RSA", provider);
        rsa.initialize(2048);
        KeyPair pair = rsa.generateKeyPair();
        Cipher cipher = Cipher.getInstance("RSA/ECB/PKCS1Padding", provider);
        cipher.init(Cipher.ENCRYPT_MODE, pair.getPublic());
        byte[] encrypted = cipher.doFinal(text);
        cipher.init(Cipher.DECRYPT_MODE, pair.getPrivate());
        check(Arrays.equals(text, cipher.doFinal(encrypted)), "RSA");
    }

    static byte[] agree(PrivateKey mine, PublicKey theirs) throws Exception {
        KeyAgreement agreement = KeyAgreement.getInstance("ECDH", provider);
        agreement.init(mine);
        agreement.doPhase(theirs, true);
        return agreement.generateSecret();
    }

    static byte[] crypt(SecretKey key, String how, java.security.spec.AlgorithmParameterSpec spec, byte[] text) throws Exception {
        Cipher cipher = Cipher.getInstance(how, provider);
        cipher.init(Cipher.ENCRYPT_MODE, key, spec);
        byte[] encrypted = cipher.doFinal(text);
        cipher.init(Cipher.DECRYPT_MODE, key, spec);
        return cipher.doFinal(encrypted);
    }

    /** Four threads, ten signatures each. */
    static void threads(String alias) throws Exception {
        KeyStore store = store();
        PrivateKey key = (PrivateKey) store.getKey(alias, null);
        PublicKey known = store.getCertificate(alias).getPublicKey();
        ExecutorService pool = Executors.newFixedThreadPool(4);
        Callable<Boolean> work = () -> {
            for (int i = 0; i < 10; i++) {
                Signature signer = Signature.getInstance("SHA256withECDSA", provider);
                signer.initSign(key);
                signer.update((byte) i);
                Signature verifier = Signature.getInstance("SHA256withECDSA", "SunEC");
                verifier.initVerify(known);
                verifier.update((byte) i);
                if (!verifier.verify(signer.sign())) return false;
            }
            return true;
        };
        for (Future<Boolean> one : pool.invokeAll(Collections.nCopies(4, work))) {
            check(one.get(), "a signature");
        }
        pool.shutdown();
    }

    static void random() throws Exception {
        byte[] bytes = new byte[64];
        SecureRandom.getInstance("PKCS11", provider).nextBytes(bytes);
        java.security.MessageDigest digest = java.security.MessageDigest.getInstance("SHA-256", provider);
        check(Arrays.equals(digest.digest(bytes), java.security.MessageDigest.getInstance("SHA-256", "SUN").digest(bytes)), "SHA-256");
    }

    public static void main(String[] args) throws Exception {
        provider = Security.getProvider("SunPKCS11").configure(args[0]);
        Security.addProvider(provider);
        pin = args[1].isEmpty() ? null : args[1].toCharArray();
        String[] rest = args.length < 4 ? new String[0] : Arrays.copyOfRange(args, 4, args.length);
        switch (args[2]) {
        case "sign": sign(args[3], rest); break;
        case "tls": tls(args[3], rest[0]); break;
        case "agree": agree(); break;
        case "session": session(); break;
        case "threads": threads(args[3]); break;
        case "random": random(); break;
        default: throw new IllegalArgumentException(args[2]);
        }
    }
}
