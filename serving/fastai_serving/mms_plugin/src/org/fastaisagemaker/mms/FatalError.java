package org.fastaisagemaker.mms;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/** Ends the process with a reason that the supervisor finds in a file and prints as the log's last line. */
final class FatalError {
    private FatalError() {}

    static void exit(String reason) {
        try {
            // Moved into its place: the supervisor must not read half of it.
            Path partial = Files.write(Path.of(Settings.STATE, ".failure"), reason.getBytes(StandardCharsets.UTF_8));
            Files.move(partial, Path.of(Settings.STATE, "failure"), StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException | LinkageError e) { // the latter when a setting is missing
            System.err.println(reason);
        }
        Runtime.getRuntime().halt(1);
    }
}
