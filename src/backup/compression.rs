//! How the lines are packed: not at all, by gzip, or by zstd, as the file's name says.
//!
//! They are packed in pieces of whole lines, each of which can be unpacked by itself; both formats allow that, and every
//! tool for them reads it. So what was written before an interruption is still good.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::path::Path;

use super::line::MAX_LINE_BYTES;

/// Fast, and within a tenth of what more effort would give.
const ZSTD_LEVEL: i32 = 3;
/// A piece holds some thousand lines; more than this is not of our making, in bytes.
const MAX_PIECE_BYTES: u64 = 4 * MAX_LINE_BYTES;

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Lines as they are.
    None,
    /// `.gz`.
    Gzip,
    /// `.zst`.
    Zstd,
}

impl Compression {
    /// As the name says.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstd,
            Some(_) | None => Self::None,
        }
    }

    /// Packs whole lines.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn pack(self, lines: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(lines.to_vec()),
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(lines)?;
                encoder.finish()
            }
            Self::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                encoder.write_all(lines)?;
                encoder.finish()
            }
        }
    }

    /// Unpacks a file as it is read.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn unpack(self, file: File) -> io::Result<Box<dyn BufRead + Send>> {
        let file = BufReader::new(file);
        Ok(match self {
            Self::None => Box::new(file),
            Self::Gzip => Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(file))),
            Self::Zstd => Box::new(BufReader::new(zstd::Decoder::with_buffer(file)?)),
        })
    }

    /// The next piece of a file that may break off, and where in the file it ends; `None` where no more whole piece is.
    /// Without packing a piece is a line.
    pub(super) fn next_piece(self, file: &mut BufReader<File>) -> Option<(Vec<u8>, u64)> {
        if file.fill_buf().ok()?.is_empty() {
            return None;
        }
        let mut piece = Vec::new();
        let read = match self {
            Self::None => file.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut piece),
            Self::Gzip => flate2::bufread::GzDecoder::new(file.by_ref()).take(MAX_PIECE_BYTES).read_to_end(&mut piece),
            Self::Zstd => {
                let decoder = zstd::Decoder::with_buffer(file.by_ref()).ok()?.single_frame();
                decoder.take(MAX_PIECE_BYTES).read_to_end(&mut piece)
            }
        };
        read.ok()?;
        piece.ends_with(b"\n").then_some((piece, file.stream_position().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read, Write};
    use std::path::Path;

    use super::Compression;

    const ALL: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

    #[test]
    fn the_name_says_how_a_file_is_packed() {
        let of = |name| Compression::of(Path::new(name));
        assert_eq!(
            ["a", "a.ndjson", "a.ndjson.gz", "a.zst", "a.gz.b"].map(of),
            [Compression::None, Compression::None, Compression::Gzip, Compression::Zstd, Compression::None]
        );
    }

    #[test]
    fn pieces_are_found_up_to_where_the_file_breaks_off() {
        for compression in ALL {
            let packed = [b"one\n", b"two\n"].map(|lines| compression.pack(lines).unwrap());
            let whole = packed.concat();
            for length in 0..=whole.len() {
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(&whole[..length]).unwrap();
                std::io::Seek::rewind(&mut file).unwrap();
                let mut reader = BufReader::new(file);
                let mut found = Vec::new();
                let mut end = 0;
                while let Some((piece, to)) = compression.next_piece(&mut reader) {
                    found.extend(piece);
                    end = usize::try_from(to).unwrap();
                }
                let (first, both) = (packed[0].len(), whole.len());
                let expected: (&[u8], usize) = match length {
                    _ if length == both => (b"one\ntwo\n", both),
                    _ if length >= first => (b"one\n", first),
                    _ => (b"", 0),
                };
                assert_eq!((found.as_slice(), end), expected, "{compression:?}, {length} bytes");
            }
        }
    }

    #[test]
    fn all_pieces_are_unpacked_as_one() {
        for compression in ALL {
            let mut file = tempfile::tempfile().unwrap();
            for lines in [b"one\n", b"two\n"] {
                file.write_all(&compression.pack(lines).unwrap()).unwrap();
            }
            std::io::Seek::rewind(&mut file).unwrap();
            let mut text = String::new();
            compression.unpack(file).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "one\ntwo\n");
        }
    }
}
