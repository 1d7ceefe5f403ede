package dev.primase.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.primase.models.v1.GetModelRequest;
import dev.primase.models.v1.GetModelResponse;
import dev.primase.models.v1.ModelServiceGrpc;

import io.grpc.Grpc;
import io.grpc.Server;
import io.grpc.Status.Code;
import io.grpc.TlsServerCredentials;
import io.grpc.stub.StreamObserver;

import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.util.Base64;

class TlsTest {
    private static final String PASSWORD = "changeit";

    @TempDir private static Path folder;
    private static Path certificate;
    private static Path key;
    private static Server server;

    /** A server that asks for a certificate, and takes its own from callers too. */
    @BeforeAll
    static void serve() throws Exception {
        var store = KeyStore.getInstance(selfSigned().toFile(), PASSWORD.toCharArray());
        certificate = pem("CERTIFICATE", store.getCertificate("self").getEncoded());
        key = pem("PRIVATE KEY", store.getKey("self", PASSWORD.toCharArray()).getEncoded());
        var credentials =
                TlsServerCredentials.newBuilder()
                        .keyManager(certificate.toFile(), key.toFile())
                        .trustManager(certificate.toFile())
                        .clientAuth(TlsServerCredentials.ClientAuth.REQUIRE)
                        .build();
        var service =
                new ModelServiceGrpc.ModelServiceImplBase() {
                    @Override
                    public void getModel(
                            GetModelRequest request, StreamObserver<GetModelResponse> answer) {
                        answer.onNext(GetModelResponse.getDefaultInstance());
                        answer.onCompleted();
                    }
                };
        server = Grpc.newServerBuilderForPort(0, credentials).addService(service).build().start();
    }

    @AfterAll
    static void stop() {
        server.shutdownNow();
    }

    @Test
    void bothSidesShowACertificate() throws Exception {
        try (var client = builder().tls(certificate, certificate, key).connect()) {
            assertEquals("", client.model("m").getName());
        }
    }

    @Test
    void whoShowsNoneOrTrustsOthersIsNotServed() throws Exception {
        var builders = new ClientBuilder[] {builder().tls(certificate), builder().tls(), builder()};
        for (var builder : builders) {
            try (var client = builder.connect()) {
                var error = assertThrows(PrimaseException.class, () -> client.model("m"));
                assertEquals(Code.UNAVAILABLE, error.code());
            }
        }
    }

    private static ClientBuilder builder() {
        return PrimaseClient.builder("localhost:" + server.getPort()).retry(null);
    }

    private static Path selfSigned() throws IOException, InterruptedException {
        var store = folder.resolve("store.p12");
        var keytool = Path.of(System.getProperty("java.home"), "bin", "keytool").toString();
        var made =
                new ProcessBuilder(
                                keytool,
                                "-genkeypair",
                                "-alias",
                                "self",
                                "-keyalg",
                                "EC",
                                "-dname",
                                "CN=localhost",
                                "-ext",
                                "san=dns:localhost",
                                "-storetype",
                                "PKCS12",
                                "-keystore",
                                store.toString(),
                                "-storepass",
                                PASSWORD)
                        .redirectErrorStream(true)
                        .start();
        assertEquals(0, made.waitFor());
        return store;
    }

    private static Path pem(String kind, byte[] bytes) throws IOException {
        var text = Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(bytes);
        var file = folder.resolve(kind.replace(' ', '_') + ".pem");
        return Files.writeString(
                file, "-----BEGIN %1$s-----\n%2$s\n-----END %1$s-----\n".formatted(kind, text));
    }
}
