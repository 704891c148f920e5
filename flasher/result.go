package flasher

import "time"

// Result says what a flash did. It can be marshalled to JSON, where durations are
// seconds, as elapsed_seconds.
type Result struct {
	// Image is the reference or name of the image, without credentials; "" for
	// FlashPrepared.
	Image string `json:"image"`
	// Bundle is the bundle's reference, BundleDigest the digest of the OCI
	// manifest that was used ("" for a bundle that has none).
	Bundle       string `json:"bundle"`
	BundleDigest string `json:"bundle_digest,omitempty"`
	// Target is the name or path that was asked for, Device the block device
	// on the board that it turned out to be.
	Target string `json:"target"`
	Device string `json:"device"`
	// Partition is the partition of the target that was asked for, "" for the
	// whole target.
	Partition string `json:"partition,omitempty"`
	// DeviceBytes is the size of that device.
	DeviceBytes int64 `json:"device_bytes"`
	// ImageBytes is the size of the raw image.
	ImageBytes int64 `json:"image_bytes"`
	// TransferredBytes went over HTTP to the board for the image.
	TransferredBytes int64 `json:"transferred_bytes"`
	// Method is how the image got onto the device.
	Method Method `json:"method,omitempty"`
	// WrittenBytes were written to the device, ZeroedBytes of them as zeros
	// that needed no transfer.
	WrittenBytes int64 `json:"written_bytes"`
	ZeroedBytes  int64 `json:"zeroed_bytes"`
	// UnchangedBytes were on the device already.
	UnchangedBytes int64 `json:"unchanged_bytes"`
	// ProvedBytes were read from the device, past its page cache, and have
	// the image's digest.
	ProvedBytes int64 `json:"proved_bytes"`
	// UnprovedBytes lie in the image's range and are not in its block map:
	// they were neither written nor looked at, and the target may hold
	// anything there.
	UnprovedBytes int64 `json:"unproved_bytes,omitempty"`
	// SHA256 is the digest in hex of the raw image that was proved to be on
	// the device by reading it back; "" with VerifyNone, where UnprovedBytes
	// is not 0, because then no digest of the whole was proved, and where the
	// board has neither sha256sum nor sha512sum.
	SHA256 string `json:"sha256,omitempty"`
	// ProofDigest is the program with which the board digested what was proved:
	// sha256sum; sha512sum where it has no other or was found to be quicker by it,
	// in which case the host compared the same digests, of bytes that have the
	// SHA-256 above; "sha256sum, sha512sum" where that was found while it began
	// with the first; or where it has neither md5sum, in which case SHA256 is "" and
	// a warning says so. "" where nothing was proved.
	ProofDigest string `json:"proof_digest,omitempty"`
	// MovedBackupGPT says that [WithMoveBackupGPT] changed the partition table
	// after the image was proved.
	MovedBackupGPT bool `json:"moved_backup_gpt,omitempty"`
	// Parts are the results of [Flasher.FlashParts], in the order of its parts;
	// the byte counts above are then their sums, and Image, Target, Partition,
	// Device, Method and SHA256 are in the parts only. A part has no Bundle,
	// Board, Attempts, Steps and Elapsed of its own.
	Parts []*Result `json:"parts,omitempty"`
	// Board is the board's IP address during the flash.
	Board string `json:"board"`
	// Attempts are the tries that failed before the one that this is about.
	Attempts []Attempt `json:"attempts,omitempty"`
	// Steps holds what each step took, in the order they ended.
	Steps []StepTime `json:"steps"`
	// Elapsed is the whole operation; in JSON it is elapsed_seconds.
	Elapsed time.Duration `json:"-"`
	// Warnings are things that went another way than asked but did no harm,
	// such as a cached bundle because the registry could not be reached.
	Warnings []string `json:"warnings,omitempty"`
}

// StepTime is how long one step took. Steps may overlap: the image is
// prepared while the board boots.
type StepTime struct {
	Step    Step          `json:"step"`
	Elapsed time.Duration `json:"-"`
}
