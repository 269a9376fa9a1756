"""From a recording to features: reading, spectra, normalisation, augmentation."""
