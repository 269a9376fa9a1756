"""From features to logits: subsampling, recurrent encoder, CTC head and loss."""
